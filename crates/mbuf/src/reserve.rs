//! Buffers taken before the bytes are there.

use core::fmt;

use crate::blank::{Front, add_lengths, blank};
use crate::error::{BoundsError, OpError, Refused};
use crate::pool::Pool;
use crate::raw::{Chain, MbufChain, Packet, Run};

/// Memory for a number of bytes that are still to come: from a vectored receive, a decoder, a device.
///
/// Write into [`slices_mut`](Self::slices_mut), then turn the first `n` bytes into a packet or a chain. What is not
/// used goes back to the pool.
///
/// ```
/// use mbuf::{Pool, Reserve};
/// let pool = Pool::new();
/// let mut reserve = Reserve::new(&pool, 5000)?;
/// let mut received = 0;
/// for slice in reserve.slices_mut() {
///     slice.fill(7); // readv(2), say
///     received += slice.len();
/// }
/// assert!(received >= 5000);
/// let packet = reserve.into_packet(1400)?;
/// assert_eq!(packet.len(), 1400);
/// assert_eq!(packet.segment_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # BSD
/// `m_getm`, `m_getm2`, `m_getc`. Differs: blank mbufs are a type of their own, so no chain has empty segments.
#[doc(alias = "m_getm")]
#[doc(alias = "m_getm2")]
#[doc(alias = "m_getc")]
pub struct Reserve {
    /// The segments, their whole room in their windows.
    run: Run,
    capacity: usize,
}

impl Reserve {
    /// Takes memory for at least `capacity` bytes, with the pool's headroom in front.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 4 GiB; nothing is kept.
    /// # Cost
    /// An mbuf per 4 KiB, or part of it; one for up to 9 KiB where pages would take more memory.
    #[track_caller]
    pub fn new(pool: &Pool, capacity: usize) -> Result<Self, OpError> {
        add_lengths(capacity, 0)?;
        let mut run = blank(pool.shared(), capacity, true, Front::default_of(pool.shared()))?;
        for seg in run.segs_mut() {
            let room = seg.tailroom();
            let _ = seg.grow_back(room);
        }
        let capacity = run.len();
        Ok(Reserve { run, capacity })
    }

    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory, in order. It holds old data, or what was written.
    pub fn slices_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.run.segs_mut().filter_map(|seg| seg.bytes_mut())
    }

    /// The memory as `IoSliceMut`s, for vectored reads.
    ///
    /// ```
    /// use std::io::{self, IoSliceMut, Read};
    /// use mbuf::{OpError, Packet, Pool, Reserve};
    ///
    /// /// What one read gives, of at most 9000 bytes; no bytes are the end.
    /// fn receive(pool: &Pool, from: &mut impl Read) -> io::Result<Packet> {
    ///     let mut reserve = Reserve::new(pool, 9000)?;
    ///     let mut room: Vec<IoSliceMut> = reserve.io_slices_mut().collect();
    ///     let n = from.read_vectored(&mut room)?;
    ///     Ok(reserve.into_packet(n).map_err(OpError::from)?)
    /// }
    ///
    /// let mut wire = &[7; 6000][..];
    /// let packet = receive(&Pool::new(), &mut wire)?;
    /// assert_eq!(packet, [7; 6000]);
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// [`MbufChain::io_slices`] is the way out.
    #[cfg(feature = "std")]
    pub fn io_slices_mut(&mut self) -> impl Iterator<Item = std::io::IoSliceMut<'_>> {
        self.slices_mut().map(std::io::IoSliceMut::new)
    }

    /// A packet of the first `len` bytes.
    ///
    /// # Errors
    /// [`OpError::Bounds`] with the reserve, if its capacity is less.
    pub fn into_packet(self, len: usize) -> Result<Packet, Refused<Reserve>> {
        let run = self.cut(len)?;
        Ok(Packet::from_run(run, len))
    }

    /// A headerless chain of the first `len` bytes.
    ///
    /// # Errors
    /// As [`into_packet`](Self::into_packet).
    pub fn into_chain(self, len: usize) -> Result<Chain, Refused<Reserve>> {
        Ok(self.into_packet(len)?.into_chain())
    }

    fn cut(mut self, len: usize) -> Result<Run, Refused<Reserve>> {
        let available = self.capacity.min(u32::MAX as usize);
        if len > available {
            return Err(Refused::new(BoundsError { start: 0, end: len, available }, self));
        }
        drop(self.run.cut(len));
        Ok(self.run)
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<H: crate::raw::Head> MbufChain<H> {
    /// Puts the first `len` bytes of a reserve behind the data, as [`append`](Self::append) does: few bytes that fit
    /// are copied, others linked.
    ///
    /// # Errors
    /// [`OpError::Bounds`] if the reserve has fewer, [`OpError::TooLong`] over 4 GiB; with the reserve.
    pub fn append_reserve(&mut self, reserve: Reserve, len: usize) -> Result<(), Refused<Reserve>> {
        let refused = if len > reserve.capacity {
            Err(BoundsError { start: 0, end: len, available: reserve.capacity }.into())
        } else {
            crate::blank::add_lengths(self.len(), len).map(|_| ())
        };
        if let Err(error) = refused {
            return Err(Refused::new(error, reserve));
        }
        // Lengths were checked: both calls succeed.
        let mut packet = reserve.into_packet(len)?;
        packet.set_type(self.last_segment().mbuf_type());
        drop(self.append(packet));
        Ok(())
    }
}
