//! The Internet checksum over a chain.

use core::ops::RangeBounds;

use crate::blank::resolve;
use crate::checksum::{self, Sum};
use crate::error::BoundsError;
use crate::raw::{Head, MbufChain};

/// Checksums.
impl<H: Head> MbufChain<H> {
    /// The one's complement sum of a range, wherever segments begin and end.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let header = [0x45, 0, 0, 20, 0, 1, 0, 0, 64, 17, 0x66, 0xd6, 10, 0, 0, 1, 10, 0, 0, 2];
    /// let packet = Packet::from_slice(&Pool::new(), &header)?;
    /// assert!(packet.sum(..20)?.is_valid());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BoundsError`] if the range lies outside.
    /// # BSD
    /// `in_cksum`, `in_cksum_skip`.
    #[doc(alias = "in_cksum")]
    #[doc(alias = "in_cksum_skip")]
    #[doc(alias = "m_sum16")]
    #[inline]
    pub fn sum(&self, range: impl RangeBounds<usize>) -> Result<Sum, BoundsError> {
        let (start, len) = resolve(range, self.total())?;
        Ok(match self.first().bytes().get(start..start + len) {
            Some(bytes) => checksum::sum(bytes),
            None => checksum::sum_pieces(self.pieces(start, len)?),
        })
    }
}
