//! Growing: at the front, at the back, by bytes and by chains.

use crate::blank::{
    Front, Source, add_lengths, blank, contiguous, contiguous_soft, inline_capacity, is_small, rehead,
};
use crate::config::{Class, MJUM16BYTES};
use crate::copy::copy_to_front;
use crate::error::{AllocError, OpError, Refused};
use crate::raw::{Head, MbufChain, RawMbuf, Run};

/// Growing.
impl<H: Head> MbufChain<H> {
    /// Extends the data to the front by `n` contiguous bytes and returns them, to be written: they hold old data.
    ///
    /// ```text
    /// with headroom     [··abc]─[de]    →   [nnabc]─[de]
    /// without           [abc]─[de]      →   [··nn]─[abc]─[de]
    /// ```
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 16 KiB or if there would be over 4 GiB. Nothing changed.
    /// # Cost
    /// O(1) for packets, O(segments) for headerless chains, whose total has to be found. Without enough headroom in
    /// storage of its own, one mbuf, with a cluster if `n` is over [`MHLEN`](crate::MHLEN) (headerless:
    /// [`MLEN`](crate::MLEN)).
    /// # BSD
    /// `M_PREPEND`, `m_prepend`. Differs: lengths are checked, the chain survives a failure, the total is kept.
    #[doc(alias = "m_prepend")]
    #[doc(alias = "M_PREPEND")]
    #[doc(alias = "rte_pktmbuf_prepend")]
    #[doc(alias = "skb_push")]
    #[inline]
    #[track_caller]
    pub fn prepend(&mut self, n: usize) -> Result<&mut [u8], OpError> {
        match self.grow_front(n) {
            Ok(bytes) => Ok(bytes),
            Err(chain) => chain.prepend_mbuf(n),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn prepend_mbuf(&mut self, n: usize) -> Result<&mut [u8], OpError> {
        let total = add_lengths(self.total(), n)?;
        let ops = &self.shared().ops;
        // At the end of its area, so that what is put in front later finds room.
        let front = match Class::for_len(n) {
            _ if n <= inline_capacity(H::HEADER) => inline_capacity(H::HEADER) - n,
            Some(class) => class.size() - n,
            None => return Err(OpError::TooLong { len: n, max: MJUM16BYTES }),
        };
        let mut fresh = contiguous(self.shared(), H::HEADER, n, front & !7)
            .inspect_err(|_| ops.add(|ops| &ops.prepend_failures, 1))?;
        ops.add(|ops| &ops.prepends, 1);
        fresh.edit().set_type(self.first().type_bits());
        let _ = fresh.edit().grow_back(n);
        if self.is_empty() {
            // It has an empty segment, which has to go.
            self.edit(total, |run, trash| trash.append(core::mem::replace(run, Run::of(fresh))));
        } else {
            self.link_front(fresh, total);
        }
        // A fresh segment of `n` bytes.
        Ok(self.first_mut().bytes_mut().unwrap_or_default())
    }

    /// Puts bytes in front.
    ///
    /// # Errors
    /// As [`prepend`](Self::prepend).
    #[inline]
    #[track_caller]
    pub fn prepend_slice(&mut self, bytes: &[u8]) -> Result<(), OpError> {
        copy_to_front(self.prepend(bytes.len())?, bytes);
        Ok(())
    }

    /// Puts bytes behind: into the tailroom of the last segment, then into new ones.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 4 GiB. Nothing changed.
    /// # Cost
    /// Copies the bytes. O(1) to find the end of a packet, O(segments) of a headerless chain.
    /// # BSD
    /// `m_append`. Differs: all or nothing; the last segment is filled to the brim.
    #[doc(alias = "m_append")]
    #[inline]
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), OpError> {
        if let Ok(place) = self.grow_back(bytes.len()) {
            copy_to_front(place, bytes);
            return Ok(());
        }
        self.extend_far(bytes.len(), core::iter::once(bytes))
    }

    /// Puts `n` zero bytes behind.
    ///
    /// # Errors
    /// As [`extend_from_slice`](Self::extend_from_slice).
    #[track_caller]
    pub fn extend_zeroed(&mut self, n: usize) -> Result<(), OpError> {
        self.extend_far(n, zeros(n))
    }

    /// Pads with zero bytes to a minimum length. Chains that are long enough stay as they are.
    ///
    /// # Errors
    /// As [`extend_from_slice`](Self::extend_from_slice).
    /// # BSD
    /// `m_devpad`. Differs: any length.
    #[doc(alias = "m_devpad")]
    #[track_caller]
    pub fn pad_to(&mut self, min: usize) -> Result<(), OpError> {
        self.extend_zeroed(min.saturating_sub(self.total()))
    }

    /// Extends the data to the back by `n` contiguous bytes and returns them, to be written: they hold old data.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 16 KiB or if there would be over 4 GiB. Nothing changed.
    /// # Cost
    /// As [`extend_from_slice`](Self::extend_from_slice), without the copy; one mbuf if the tailroom is too small.
    #[doc(alias = "rte_pktmbuf_append")]
    #[doc(alias = "skb_put")]
    #[inline(always)]
    #[track_caller]
    pub fn extend(&mut self, n: usize) -> Result<&mut [u8], OpError> {
        match self.grow_back(n) {
            Ok(bytes) => Ok(bytes),
            Err(chain) => chain.extend_segment(n),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn extend_segment(&mut self, n: usize) -> Result<&mut [u8], OpError> {
        let total = add_lengths(self.total(), n)?;
        let empty = self.is_empty();
        let mut fresh = self.like_last(contiguous_soft(self.shared(), H::HEADER && empty, n)?);
        let _ = fresh.edit().grow_back(n);
        if empty {
            self.edit(total, |run, trash| trash.append(core::mem::replace(run, Run::of(fresh))));
        } else {
            self.link_back(Run::of(fresh), total);
        }
        // A fresh segment of `n` bytes.
        Ok(self.last_mut().bytes_mut().unwrap_or_default())
    }

    /// Puts `pieces`, which are `n` bytes, behind.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(crate) fn extend_far<'b>(
        &mut self,
        n: usize,
        pieces: impl Iterator<Item = &'b [u8]>,
    ) -> Result<(), OpError> {
        add_lengths(self.total(), n)?;
        let more = self.reserve_back(n)?;
        self.commit_back(more, &mut Source::new(pieces));
        Ok(())
    }

    /// Takes the memory for `n` more bytes behind.
    #[track_caller]
    pub(super) fn reserve_back(&self, n: usize) -> Result<More, AllocError> {
        // A segment that is about to be replaced takes nothing.
        let here = if self.last().is_chosen() { 0 } else { self.last().tailroom().min(n) };
        let replaces = here == 0 && self.total() == 0;
        let blank = match n - here {
            0 => Run::new(),
            // An empty chain whose only segment has no room is replaced.
            left if replaces => blank(self.shared(), left, H::HEADER, Front::default_of(self.shared()))?,
            left => blank(self.shared(), left, false, Front::NONE)?,
        };
        Ok(More { here, replaces, blank, len: n })
    }

    /// Puts the bytes of a source behind, into what was taken for them.
    pub(super) fn commit_back<'b>(
        &mut self,
        more: More,
        source: &mut Source<impl Iterator<Item = &'b [u8]>>,
    ) {
        let More { here, replaces, mut blank, len } = more;
        let total = self.total() + len;
        let bits = self.last().type_bits();
        for mut seg in blank.segs_mut() {
            seg.set_type(bits);
        }
        if let Some(place) = self.last_mut().grow_back(here) {
            source.copy_to(place);
        }
        source.fill(&mut blank, len - here);
        if blank.is_empty() {
            return self.set_total(total);
        }
        if replaces {
            self.edit(total, |run, trash| trash.append(core::mem::replace(run, blank)));
        } else {
            self.link_back(blank, total);
        }
    }

    /// Puts another chain behind, by linking its segments, or by copying if it is small, fits, and has the type of the
    /// last segment and no flags. Its packet header (metadata, flags, tags), if any, is dropped.
    ///
    /// ```text
    /// [abc]─[de····]  and  [fg]      →  [abc]─[defg··]
    /// [abc]─[de]      and  [fg]─[h]  →  [abc]─[de]─[fg]─[h]
    /// ```
    ///
    /// # Errors
    /// [`OpError::TooLong`] if both together are over 4 GiB, with the other chain. Nothing changed.
    /// # Cost
    /// O(1) for packets, O(segments) to find the end of headerless chains. Copies at most 256 bytes.
    /// # BSD
    /// `m_cat` (chains), `m_catpkt` (packets). Differs: exact fits are used, lengths are kept.
    #[doc(alias = "m_cat")]
    #[doc(alias = "m_catpkt")]
    #[doc(alias = "rte_pktmbuf_chain")]
    pub fn append<K: Head>(&mut self, other: MbufChain<K>) -> Result<(), Refused<MbufChain<K>>> {
        let more = other.total();
        let total = match add_lengths(self.total(), more) {
            Ok(total) => total,
            Err(error) => return Err(Refused::new(error, other)),
        };
        if more == 0 || is_small(more) && self.append_copy(&other, more) {
            return Ok(());
        }
        let (more, _tags) = other.into_bare_run();
        if self.is_empty() {
            self.replace_empty(more, total);
        } else {
            self.link_back(more, total);
        }
        Ok(())
    }

    /// Copies the `n` bytes of another chain behind, if there is room. Bytes with flags, or of another type, keep their
    /// segments.
    #[inline(never)]
    fn append_copy<K: Head>(&mut self, other: &MbufChain<K>, n: usize) -> bool {
        let kind = self.last().type_bits();
        let alike = |seg: &RawMbuf| seg.flags_up_to(seg.len()) == 0 && seg.type_bits() == kind;
        if n > self.tailroom() || !other.segs().all(alike) {
            return false;
        }
        let mut place = self.grow_back(n).unwrap_or_default();
        for seg in other.segs() {
            place = copy_to_front(place, seg.bytes());
        }
        true
    }

    /// Puts a list that is not empty in the place of the empty segment.
    #[cold]
    #[inline(never)]
    fn replace_empty(&mut self, mut more: Run, total: usize) {
        self.edit(total, |run, trash| {
            if let Some(head) = run.pop_front() {
                rehead(head, &mut more, trash, H::HEADER);
            }
            *run = more;
        });
    }
}

/// Memory that was taken to extend a chain.
pub(super) struct More {
    /// Bytes that go into the last segment there is.
    here: usize,
    /// Whether the new segments take the place of the empty one there is.
    replaces: bool,
    blank: Run,
    len: usize,
}

/// `n` zero bytes, in pieces.
pub(super) fn zeros<'b>(n: usize) -> impl Iterator<Item = &'b [u8]> {
    static ZEROS: [u8; 512] = [0; 512];
    let mut left = n;
    core::iter::from_fn(move || {
        let k = left.min(ZEROS.len());
        left -= k;
        (k > 0).then(|| &ZEROS[..k])
    })
}
