//! Making packets and chains, and the packet header.

use alloc::vec::Vec;
use core::ops::Deref;

use crate::blank::{self, Front, Source, add_lengths, blank};
use crate::config::Class;
use crate::error::{AllocError, OpError, Refused};
use crate::meta::{Flags, MbufType, Meta};
use crate::pool::Pool;
use crate::raw::{self, Chain, Head, MbufChain, Packet, Run};
use crate::tag::TagList;

/// Making a chain or packet.
///
/// The empty ones leave headroom: 16 bytes if inline, otherwise what the pool was set to.
impl<H: Head> MbufChain<H> {
    /// An empty one with inline storage, for [`MLEN`](crate::MLEN) or (packets) [`MHLEN`](crate::MHLEN) bytes less
    /// the headroom.
    ///
    /// # Errors
    /// [`AllocError`], when all mbufs are in use.
    /// # BSD
    /// `m_get`, `m_gethdr`. Differs: length zero and header empty, always.
    #[doc(alias = "m_get")]
    #[doc(alias = "m_gethdr")]
    #[doc(alias = "MGET")]
    #[doc(alias = "MGETHDR")]
    #[inline]
    #[track_caller]
    pub fn new(pool: &Pool) -> Result<Self, AllocError> {
        pool.shared().plain(H::HEADER).map(Self::from_fresh)
    }

    /// An empty one with storage of a class: [`Class::size`] bytes less the headroom.
    ///
    /// # Errors
    /// [`AllocError`], when all mbufs or all buffers of the class are in use.
    /// # BSD
    /// `m_getjcl`.
    #[doc(alias = "m_getjcl")]
    #[inline]
    #[track_caller]
    pub fn with_class(pool: &Pool, class: Class) -> Result<Self, AllocError> {
        pool.shared().with_class(class, H::HEADER).map(Self::from_fresh)
    }

    /// An empty one with contiguous room for `len` bytes, in the smallest storage that has it, with as much of the
    /// usual headroom in front as fits there.
    ///
    /// # Errors
    /// [`OpError::TooLong`] over 16 KiB; [`OpError::Alloc`].
    /// # BSD
    /// `m_get2`, `m_getl`.
    #[doc(alias = "m_get2")]
    #[doc(alias = "m_getl")]
    #[track_caller]
    pub fn with_capacity(pool: &Pool, len: usize) -> Result<Self, OpError> {
        blank::contiguous_soft(pool.shared(), H::HEADER, len).map(Self::from_fresh)
    }

    /// An empty one with contiguous room for `len` bytes behind exactly `headroom` bytes.
    ///
    /// # Errors
    /// [`OpError::TooLong`] if both are over 16 KiB; [`OpError::Alloc`].
    #[doc(alias = "M_ALIGN")]
    #[doc(alias = "MH_ALIGN")]
    #[doc(alias = "m_align")]
    #[track_caller]
    pub fn with_headroom(pool: &Pool, len: usize, headroom: usize) -> Result<Self, OpError> {
        blank::contiguous(pool.shared(), H::HEADER, len, headroom).map(Self::from_fresh)
    }

    /// A copy of bytes of any number, in as many segments as they need, behind the usual headroom: 16 bytes if they
    /// stay inline, otherwise the pool's.
    ///
    /// # Errors
    /// [`OpError::Alloc`]; [`OpError::TooLong`] over 4 GiB.
    /// # Cost
    /// Copies all bytes; segments of at most 4 KiB, or of 9 KiB where pages would take more memory.
    /// # BSD
    /// `m_devget`. Differs: zero bytes are an empty packet.
    #[doc(alias = "m_devget")]
    #[track_caller]
    pub fn from_slice(pool: &Pool, bytes: &[u8]) -> Result<Self, OpError> {
        Self::from_slices(pool, core::iter::once(bytes))
    }

    /// As [`from_slice`](Self::from_slice), behind exactly `headroom` bytes, however few the bytes are: for small
    /// packets that will be encapsulated.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// # let pool = Pool::new();
    /// let mut ack = Packet::from_slice_with_headroom(&pool, &[0; 40], 96)?;
    /// ack.prepend(96)?;
    /// assert_eq!(ack.segment_count(), 1);
    /// # Ok::<(), mbuf::OpError>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_slice`](Self::from_slice), and [`OpError::TooLong`] if the headroom is 16 KiB or more.
    /// # Cost
    /// As [`from_slice`](Self::from_slice); inline if both are at most [`MHLEN`](crate::MHLEN) bytes (headerless:
    /// [`MLEN`](crate::MLEN)).
    #[track_caller]
    pub fn from_slice_with_headroom(pool: &Pool, bytes: &[u8], headroom: usize) -> Result<Self, OpError> {
        Self::gathered(pool, [bytes], Front::exactly(headroom)?)
    }

    /// A copy of several slices, such as `IoSlice`s, one after the other.
    ///
    /// # Errors
    /// As [`from_slice`](Self::from_slice). The slices are not consumed: nothing is lost.
    /// # BSD
    /// `m_uiomove`, `m_uiotombuf`.
    #[doc(alias = "m_uiomove")]
    #[doc(alias = "m_uiotombuf")]
    #[track_caller]
    pub fn from_slices<S>(pool: &Pool, slices: impl IntoIterator<Item = S> + Clone) -> Result<Self, OpError>
    where
        S: Deref<Target = [u8]>,
    {
        Self::gathered(pool, slices, Front::default_of(pool.shared()))
    }

    #[track_caller]
    fn gathered<S>(
        pool: &Pool,
        slices: impl IntoIterator<Item = S> + Clone,
        front: Front,
    ) -> Result<Self, OpError>
    where
        S: Deref<Target = [u8]>,
    {
        let len = slices.clone().into_iter().try_fold(0, |len, slice| add_lengths(len, slice.len()))?;
        let mut source = Source::new(slices);
        let mut first = blank::blank_one(pool.shared(), len, H::HEADER, front)?;
        let room = first.tailroom();
        if let Some(place) = first.edit().grow_back(len) {
            source.copy_to(place);
            return Ok(Self::from_fresh(first));
        }
        let mut run = Run::of(first);
        run.append(blank(pool.shared(), len - room, false, Front::NONE)?);
        source.fill(&mut run, len);
        Ok(Self::from_run(run, len))
    }

    /// A packet of `len` bytes behind `headroom` bytes that `copy` writes, piece by piece: it is given the offset of
    /// the piece and the memory, which holds old data.
    ///
    /// # Errors
    /// As [`from_slice`](Self::from_slice); then `copy` was not called.
    /// # BSD
    /// `m_devget` with a copy routine.
    #[track_caller]
    pub fn copy_with(
        pool: &Pool,
        len: usize,
        headroom: usize,
        mut copy: impl FnMut(usize, &mut [u8]),
    ) -> Result<Self, OpError> {
        add_lengths(len, 0)?;
        let mut run = blank(pool.shared(), len, H::HEADER, Front::exactly(headroom)?)?;
        let mut offset = 0;
        for seg in run.segs_mut() {
            let n = seg.tailroom().min(len - offset);
            if let Some(place) = seg.grow_back(n) {
                copy(offset, place);
            }
            offset += n;
        }
        Ok(Self::from_run(run, len))
    }

    /// A copy of a frame with trailer encapsulation: from byte `offset` there are four bytes of trailer header, then
    /// the headers up to the end of the frame; the data that belongs behind them is in front, `..offset`.
    ///
    /// # Errors
    /// [`OpError::Bounds`] if the four bytes are not there; otherwise as [`from_slice`](Self::from_slice).
    /// # BSD
    /// NetBSD's `m_devget` with an offset. Differs: the offset is checked.
    #[track_caller]
    pub fn from_trailer(pool: &Pool, frame: &[u8], offset: usize) -> Result<Self, OpError> {
        blank::bounds(offset, 4, frame.len())?;
        Self::from_slices(pool, [&frame[offset + 4..], &frame[..offset]])
    }
}

impl Packet {
    /// An empty packet with a 2 KiB cluster, behind the pool's headroom. The fast path of the library.
    ///
    /// # Errors
    /// [`AllocError`], when all mbufs or clusters are in use.
    /// # Cost
    /// A pop from this thread's cache and three stores.
    /// # BSD
    /// `m_getcl`.
    #[doc(alias = "m_getcl")]
    #[doc(alias = "rte_pktmbuf_alloc")]
    #[inline]
    #[track_caller]
    pub fn with_cluster(pool: &Pool) -> Result<Packet, AllocError> {
        pool.shared().paired().map(MbufChain::from_fresh)
    }

    /// `n` packets as [`with_cluster`](Self::with_cluster) makes them, behind what is in `out`: all of them, or none.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// # let pool = Pool::new();
    /// let mut burst = Vec::with_capacity(32);
    /// Packet::with_cluster_bulk(&pool, 32, &mut burst)?;
    /// Packet::free_bulk(&mut burst);
    /// assert_eq!(pool.stats().mbufs.current, 0);
    /// # Ok::<(), mbuf::AllocError>(())
    /// ```
    ///
    /// # Errors
    /// [`AllocError`], when not so many mbufs and clusters are free; `out` is as before, but for its capacity. Of two calls
    /// that together want more than there is, both may fail.
    /// # Cost
    /// One step of this thread's cache for up to 64 packets, and three stores a packet.
    #[doc(alias = "rte_pktmbuf_alloc_bulk")]
    #[track_caller]
    pub fn with_cluster_bulk(pool: &Pool, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        pool.shared().paired_bulk(n, out)
    }

    /// Drops all packets of a vector, as [`Vec::clear`] does, but the last first, and those that are alike at once.
    ///
    /// # Cost
    /// One step of this thread's cache for a run of packets with 2 KiB clusters of one pool that share nothing and have one
    /// segment each. Others cost what dropping them does.
    #[doc(alias = "rte_pktmbuf_free_bulk")]
    pub fn free_bulk(packets: &mut Vec<Packet>) {
        raw::free_bulk(packets);
    }

    /// A packet over memory that the caller owns. It is read-only: operations that have to write copy first. The
    /// owner is dropped when the last sharer is, or taken back with [`try_into_owner`](Self::try_into_owner).
    ///
    /// ```
    /// use mbuf::{Packet, Pool};
    /// let pool = Pool::new();
    /// let packet = Packet::from_owner(&pool, vec![1u8, 2, 3])?;
    /// assert_eq!(packet.try_into_owner::<Vec<u8>>().unwrap(), [1, 2, 3]);
    /// # Ok::<(), mbuf::OpError>(())
    /// ```
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 4 GiB; with the owner.
    /// # Cost
    /// One mbuf and one record; owners of up to eight words are not boxed.
    /// # BSD
    /// `m_extadd`, `MEXTADD` with `M_RDONLY`.
    #[doc(alias = "m_extadd")]
    #[doc(alias = "MEXTADD")]
    #[track_caller]
    pub fn from_owner<O>(pool: &Pool, owner: O) -> Result<Packet, Refused<O>>
    where
        O: AsRef<[u8]> + Send + 'static,
    {
        Packet::over(pool.shared(), owner)
    }

    /// As [`from_owner`](Self::from_owner), but the memory may be written while one packet alone holds it.
    ///
    /// All of the owner's bytes are data at first: trim what is to be headroom or tailroom. What was trimmed is the
    /// packet's room as long as its storage is not shared; the owner comes back with all its bytes.
    ///
    /// ```
    /// use mbuf::{Packet, Pool};
    /// let mut packet = Packet::from_owner_mut(&Pool::new(), vec![0u8; 2048])?;
    /// packet.trim_front(64)?;
    /// packet.truncate(1500);
    /// assert_eq!((packet.headroom(), packet.tailroom()), (64, 484));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_owner`](Self::from_owner).
    #[track_caller]
    pub fn from_owner_mut<O>(pool: &Pool, owner: O) -> Result<Packet, Refused<O>>
    where
        O: AsMut<[u8]> + Send + 'static,
    {
        Packet::over_mut(pool.shared(), owner)
    }

    /// Takes back the owner given to [`from_owner`](Self::from_owner) or [`from_owner_mut`](Self::from_owner_mut), as
    /// it is now: with what was written, and without regard to what was trimmed. Metadata and tags are dropped.
    ///
    /// `O` has to be the very type that was given, not what it dereferences to.
    ///
    /// # Errors
    /// The packet, if it has several segments, its storage is not external, is shared, or has an owner of another
    /// type.
    pub fn try_into_owner<O: Send + 'static>(self) -> Result<O, Packet> {
        let mbuf = self.into_mbuf()?;
        mbuf.into_owner().map_err(MbufChain::from_mbuf)
    }

    /// The metadata.
    pub fn meta(&self) -> &Meta {
        &self.header().meta
    }

    /// The metadata, to be changed.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.header_mut().meta
    }

    /// Makes this packet's metadata, flags and tags those of `from`, which loses its tags.
    ///
    /// # BSD
    /// `m_move_pkthdr`. Differs: lengths stay what they are.
    #[doc(alias = "m_move_pkthdr")]
    #[doc(alias = "M_MOVE_PKTHDR")]
    pub fn take_header_from(&mut self, from: &mut Packet) {
        let meta = *from.meta();
        let tags = core::mem::replace(&mut from.header_mut().tags, TagList::EMPTY);
        self.describe(from.flags(), meta, tags);
    }

    /// Makes this packet's metadata, flags and tags copies of those of `from`.
    ///
    /// # Errors
    /// [`OpError::Tag`] if a tag refuses to be copied; this packet is unchanged.
    /// # BSD
    /// `m_dup_pkthdr`, `M_COPY_PKTHDR`.
    #[doc(alias = "m_dup_pkthdr")]
    #[doc(alias = "M_COPY_PKTHDR")]
    pub fn copy_header_from(&mut self, from: &Packet) -> Result<(), OpError> {
        let tags = from.header().tags.copy().ok_or(OpError::Tag)?;
        self.describe(from.flags(), *from.meta(), tags);
        Ok(())
    }

    fn describe(&mut self, flags: Flags, meta: Meta, tags: TagList) {
        // The end of a record is the segment's own.
        let end = self.flags().0 & Flags::END_OF_RECORD.0;
        self.set_flags(flags.without(Flags::END_OF_RECORD).with(Flags(end)));
        let header = self.header_mut();
        header.meta = meta;
        // The old ones are dropped last: that may run the user's code.
        let _old = core::mem::replace(&mut header.tags, tags);
        self.note_tags();
    }

    /// Drops the packet header: metadata and tags.
    ///
    /// # BSD
    /// `m_demote`, `m_demote_pkthdr`.
    #[doc(alias = "m_demote")]
    pub fn into_chain(self) -> Chain {
        let (run, tags) = self.into_bare_run();
        drop(tags);
        run.into_chain()
    }
}

impl Chain {
    /// Gives the chain a packet header.
    ///
    /// # Errors
    /// [`OpError::Alloc`] with the chain, if inline data is in the way of a header and no mbuf is free;
    /// [`OpError::TooLong`] over 4 GiB.
    /// # Cost
    /// O(segments) to find the length; at most one mbuf and 104 bytes copied.
    #[track_caller]
    pub fn into_packet(self) -> Result<Packet, Refused<Chain>> {
        let head = match add_lengths(self.len(), 0) {
            Err(error) => return Err(Refused::new(error, self)),
            Ok(_) if self.first().can_carry_header() => None,
            Ok(_) => match self.shared().inline(true) {
                Ok(head) => Some(head),
                Err(error) => return Err(Refused::new(error, self)),
            },
        };
        let kind = self.first().type_bits();
        let (mut run, header) = self.into_run();
        if let Some(mut head) = head {
            head.edit().set_type(kind);
            let mut trash = crate::raw::Trash::default();
            blank::absorb(&mut head, &mut run, &mut trash, crate::config::MHLEN);
            run.push_front(head);
        }
        let len = run.len();
        Ok(run.into_packet(header, len))
    }
}

/// Who has it.
impl<H: Head> MbufChain<H> {
    /// Tells the pool's [audit](Pool::set_audit) who has all mbufs of the chain from now on: a name, and a number of its
    /// own. Does nothing where the audit does not know them.
    ///
    /// # BSD
    /// `mbuftrackid`, `m_claim`. Differs: nothing is marked that nobody keeps account of.
    #[doc(alias = "mbuftrackid")]
    pub fn claim(&self, owner: &'static str, id: u32) {
        self.segs().for_each(|seg| seg.claim(owner, id));
    }
}

/// Flags and types of segments.
impl<H: Head> MbufChain<H> {
    /// The flags of the first segment.
    pub fn flags(&self) -> Flags {
        Flags(self.first().user_flags())
    }

    /// Sets the flags of the first segment, for packets those of the packet.
    pub fn set_flags(&mut self, flags: Flags) {
        self.first_mut().set_user_flags(flags.0);
    }

    /// Clears flags on every segment, as when a packet is handed to another layer.
    #[doc(alias = "m_clrprotoflags")]
    pub fn clear_flags(&mut self, flags: Flags) {
        for mut seg in self.segs_mut() {
            let kept = Flags(seg.user_flags()).without(flags);
            seg.set_user_flags(kept.0);
        }
    }

    /// The type of the first segment.
    pub fn mbuf_type(&self) -> MbufType {
        MbufType::from_bits(self.first().type_bits())
    }

    /// Sets the type of every segment.
    ///
    /// # BSD
    /// `m_chtype`. Differs: an enum, so nothing is indexed by a number from outside.
    #[doc(alias = "m_chtype")]
    pub fn set_type(&mut self, kind: MbufType) {
        for mut seg in self.segs_mut() {
            seg.set_type(kind as u8);
        }
    }
}
