//! The traits and types of the crate `bytes`.

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes};

use crate::error::Refused;
use crate::pool::Pool;
use crate::raw::{Head, MbufChain, Packet, StorageKind};

/// Consuming: [`advance`](Buf::advance) drops bytes at the front.
///
/// ```
/// use bytes::Buf;
/// # use mbuf::{Packet, Pool};
/// let mut packet = Packet::from_slice(&Pool::new(), &[0, 1, 2, 3, 4])?;
/// packet.shatter([1, 3, 1])?;
/// assert_eq!(packet.get_u16(), 0x0001);
/// assert_eq!(packet.remaining(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<H: Head> Buf for MbufChain<H> {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.first().bytes()
    }

    /// The first segments, as many as there are slices: always a prefix of the data, nothing left out.
    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, out: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut n = 0;
        for (slot, seg) in out.iter_mut().zip(self.segs().filter(|seg| seg.len() > 0)) {
            *slot = std::io::IoSlice::new(seg.bytes());
            n += 1;
        }
        n
    }

    /// # Panics
    /// If there are fewer bytes, as the trait demands.
    fn advance(&mut self, n: usize) {
        if let Err(error) = self.trim_front(n) {
            panic!("cannot advance: {error}");
        }
    }

    /// Shares the bytes if they lie within one segment that has storage, and an mbuf is free; otherwise copies them.
    ///
    /// # Panics
    /// If there are fewer bytes, as the trait demands.
    #[track_caller]
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        assert!(len <= self.len(), "cannot copy {len} bytes of {}", self.len());
        let shared = match self.first().kind() {
            StorageKind::Inline => None,
            _ if len > self.first().len() => None,
            _ => self.share_range(..len).ok().map(Bytes::from),
        };
        let bytes = shared.unwrap_or_else(|| {
            let mut copy = alloc::vec![0; len];
            // Within bounds, as was checked.
            let _ = self.read_at(0, &mut copy);
            Bytes::from(copy)
        });
        self.advance(len);
        bytes
    }
}

/// Appends to a chain through [`BufMut`].
///
/// `BufMut` cannot fail, so it is offered for the room that is there: `remaining_mut` is the tailroom. Take a packet
/// with enough of it: [`Packet::with_capacity`].
#[derive(Debug)]
pub struct Appender<'a, H: Head> {
    chain: &'a mut MbufChain<H>,
}

impl<'a, H: Head> Appender<'a, H> {
    /// An appender to the tailroom of the last segment.
    pub fn new(chain: &'a mut MbufChain<H>) -> Self {
        Appender { chain }
    }

    /// The chain.
    pub fn chain(&self) -> &MbufChain<H> {
        self.chain
    }
}

#[allow(unsafe_code)]
// SAFETY: `chunk_mut` gives the tailroom of the last segment, memory that is initialised; `remaining_mut` is its
// length; `advance_mut` extends the window over it and panics beyond it.
unsafe impl<H: Head> BufMut for Appender<'_, H> {
    fn remaining_mut(&self) -> usize {
        self.chain.tailroom().min(u32::MAX as usize - self.chain.len())
    }

    unsafe fn advance_mut(&mut self, n: usize) {
        assert!(n <= self.remaining_mut(), "cannot advance {n} bytes into {}", self.remaining_mut());
        // There is room, so this allocates nothing and keeps what is there.
        let _ = self.chain.extend(n);
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(self.chain.last_mut().spare_mut())
    }
}

/// Owns a chain of one segment so that `Bytes` can.
struct Contiguous<H: Head>(MbufChain<H>);

impl<H: Head> AsRef<[u8]> for Contiguous<H> {
    fn as_ref(&self) -> &[u8] {
        self.0.first().bytes()
    }
}

impl<H: Head> From<MbufChain<H>> for Bytes {
    /// Without copying if there is one segment; a packet made of `Bytes` gives a slice of the same `Bytes`. Otherwise
    /// the bytes are copied. The packet header is dropped.
    fn from(chain: MbufChain<H>) -> Bytes {
        if !chain.is_single() {
            return Bytes::from(chain.to_vec());
        }
        if let Some(bytes) = chain.first().owner::<Bytes>() {
            let start = chain.first().offset();
            return bytes.slice(start..start + chain.len());
        }
        Bytes::from_owner(Contiguous(chain))
    }
}

impl Packet {
    /// A packet over `Bytes`, without copying. Read-only.
    ///
    /// # Errors
    /// As [`from_owner`](Self::from_owner), with the bytes.
    #[track_caller]
    pub fn from_bytes(pool: &Pool, bytes: Bytes) -> Result<Packet, Refused<Bytes>> {
        Packet::from_owner(pool, bytes)
    }
}
