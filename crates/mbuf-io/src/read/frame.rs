//! One frame, between the file and the pool.

use mbuf::{OpError, Packet, Pool};

/// A frame of a capture, still in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its number in the file, counted from 1.
    pub number: u64,
    /// Where its record or block starts, in bytes from the start of the file.
    pub offset: u64,
    /// The interface it was captured on: an index into [`Capture::interfaces`](crate::Capture::interfaces).
    pub interface: u32,
    /// When it was captured, in nanoseconds since 1970; 0 when the file does not say.
    pub timestamp: u64,
    /// Its length on the wire, in bytes. More than `data` holds when the capture cut it (`snaplen`).
    pub original_len: u32,
    /// What was kept of it.
    pub data: &'a [u8],
}

impl Frame<'_> {
    /// Takes the frame into a pool, as a driver would: the pool's headroom in front, interface and receive time in
    /// the packet header.
    ///
    /// # Errors
    /// [`OpError::Alloc`] if the pool is dry; the frame is still there and can be tried again.
    /// # Cost
    /// Copies the frame once.
    pub fn into_packet(self, pool: &Pool) -> Result<Packet, OpError> {
        let mut packet = Packet::from_slice(pool, self.data)?;
        let meta = packet.meta_mut();
        meta.interface = self.interface;
        meta.timestamp = self.timestamp;
        Ok(packet)
    }

    /// Returns how many bytes of the frame the capture did not keep.
    pub fn missing(&self) -> u32 {
        let kept = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.original_len.saturating_sub(kept)
    }
}
