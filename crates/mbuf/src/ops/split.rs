//! Cutting in two, taking out of the middle.

use core::ops::RangeBounds;

use crate::blank::{Parts, bounds, contiguous_soft, resolve};
use crate::error::{OpError, Refused};
use crate::raw::{Chain, Head, Mbuf, MbufChain, Run, StorageKind};

/// What a cut needs beside the segments that are there.
enum Border {
    /// Everything goes to the tail; this stays.
    Front(Mbuf),
    /// Nothing goes to the tail but this.
    Back(Mbuf),
    /// Between two segments; the second can be a first one.
    Between,
    /// Between two segments; this takes the place of the second, of which it holds a copy.
    Replaced(Mbuf),
    /// Within a segment; this shows what is behind.
    Within(Mbuf),
}

/// Splitting.
impl<H: Head> MbufChain<H> {
    /// Cuts off all bytes from `at` on and returns them. Either part may be empty.
    ///
    /// ```text
    /// before      [abc]─[defg]─[hi]
    /// self at 5   [abc]─[de  ]
    /// returned          [  fg]─[hi]      the middle storage is shared, inline data is copied
    /// ```
    ///
    /// The returned packet has the same metadata and flags, and copies of the tags.
    ///
    /// # Errors
    /// [`OpError::Bounds`], [`OpError::Alloc`], [`OpError::Tag`], [`OpError::TooManySharers`]. Nothing changed.
    /// # Cost
    /// O(segments in front of `at`). At most one mbuf; copies at most one inline segment.
    /// # BSD
    /// `m_split`. Differs: a cut between segments takes no reference; metadata go to both parts; an empty tail is a
    /// value.
    #[doc(alias = "m_split")]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Result<Self, OpError> {
        if self.is_single() && self.first().has_storage() && 0 < at && at < self.first().len() {
            return self.split_single(at);
        }
        let total = self.total();
        let (run, header) = (self.border(at, H::HEADER)?, self.copy_header()?);
        let tail = self.cut_at(at, total, run);
        Ok(tail.into(header, total - at))
    }

    /// Cuts off all bytes in front of `at` and returns them; this keeps the rest. Either part may be empty.
    ///
    /// ```text
    /// before      [abc]─[defg]─[hi]
    /// returned    [abc]─[de  ]
    /// self at 5         [  fg]─[hi]
    /// ```
    ///
    /// As with [`split_off`](Self::split_off), the returned packet has the same metadata and flags and copies of the
    /// tags, and this one keeps its own.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let mut packet = Packet::from_slice(&Pool::new(), b"headerpayload")?;
    /// let header = packet.split_to(6)?;
    /// assert_eq!((header == b"header", packet == b"payload"), (true, true));
    /// # Ok::<(), mbuf::OpError>(())
    /// ```
    ///
    /// # Errors
    /// As [`split_off`](Self::split_off).
    /// # Cost
    /// As [`split_off`](Self::split_off).
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Result<Self, OpError> {
        let mut front = self.split_off(at)?;
        core::mem::swap(self, &mut front);
        self.swap_tags(&mut front);
        Ok(front)
    }

    /// Takes what a cut at `at` needs, so that the first segment behind it can carry a header if asked.
    #[track_caller]
    fn border(&self, at: usize, header: bool) -> Result<Border, OpError> {
        let total = self.total();
        bounds(at, 0, total)?;
        let shared = self.shared();
        if at == 0 {
            return Ok(Border::Front(self.like_first(contiguous_soft(shared, H::HEADER, 0)?)));
        }
        // The first segment with bytes behind the cut; the cut is within it, or in front of it.
        let Some((seg, part)) = Parts::new(self.segs(), at, total - at).next() else {
            return Ok(Border::Back(self.like_last(contiguous_soft(shared, header, 0)?)));
        };
        let within = part.start > 0;
        if !within && (!header || seg.can_carry_header()) {
            return Ok(Border::Between);
        }
        let mbuf = match seg.kind() {
            StorageKind::Inline => contiguous_soft(shared, header, part.len())?.copy_of(seg, part)?,
            _ => shared.showing(header, &seg, part)?,
        };
        Ok(if within { Border::Within(mbuf) } else { Border::Replaced(mbuf) })
    }

    fn cut_at(&mut self, at: usize, total: usize, border: Border) -> Run {
        debug_assert!(at <= total);
        self.edit(at, |run, trash| {
            let (front, mut tail) = match border {
                Border::Front(head) => (Run::of(head), Run::new()),
                Border::Back(back) => return Run::of(back),
                Border::Between => (run.take_front(at).0, Run::new()),
                Border::Replaced(mbuf) => {
                    let (front, _) = run.take_front(at);
                    if let Some(replaced) = run.pop_front() {
                        trash.push(replaced);
                    }
                    (front, Run::of(mbuf))
                }
                Border::Within(mut rest) => {
                    let (mut front, within) = run.take_front(at);
                    if let Some(mut seg) = run.pop_front() {
                        seg.edit().cut_for(within, &mut rest);
                        front.push_back(seg);
                    }
                    (front, Run::of(rest))
                }
            };
            tail.append(core::mem::replace(run, front));
            tail
        })
    }

    /// Cuts a range out and drops it. A record that loses its end ends with what is left in front of the range.
    ///
    /// # Errors
    /// [`OpError::Bounds`], [`OpError::Alloc`], [`OpError::TooManySharers`]. Nothing changed.
    /// # Cost
    /// O(segments). At most one mbuf; copies at most one inline segment.
    #[track_caller]
    pub fn remove_range(&mut self, range: impl RangeBounds<usize>) -> Result<(), OpError> {
        let total = self.total();
        let (start, len) = resolve(range, total)?;
        if len == 0 {
            return Ok(());
        }
        if start + len == total {
            self.truncate(start);
            return Ok(());
        }
        if start == 0 {
            return Ok(self.trim_front(len)?);
        }
        let border = self.border(start + len, false)?;
        let tail = self.cut_at(start + len, total, border);
        // In one step: to drop what is cut out may run the user's code.
        self.edit(total - len, |run, trash| {
            trash.append(run.cut(start));
            run.append(tail);
        });
        Ok(())
    }

    /// Puts the bytes of another chain in at `at`; its packet header, if any, is dropped.
    ///
    /// # Errors
    /// As [`split_off`](Self::split_off), or [`OpError::TooLong`] if both are over 4 GiB; with the other chain.
    /// # Cost
    /// As [`split_off`](Self::split_off).
    #[track_caller]
    pub fn insert<K: Head>(&mut self, at: usize, other: MbufChain<K>) -> Result<(), Refused<MbufChain<K>>> {
        let (total, more) = (self.total(), other.total());
        let sum = match crate::blank::add_lengths(total, more) {
            Ok(sum) => sum,
            Err(error) => return Err(Refused::new(error, other)),
        };
        if at == total {
            return self.append(other);
        }
        if more == 0 && at < total {
            return Ok(());
        }
        let border = match self.border(at, false) {
            Ok(border) => border,
            Err(error) => return Err(Refused::new(error, other)),
        };
        let tail = self.cut_at(at, total, border);
        let whole = Rejoin(self, Some(tail.into_chain()));
        #[allow(clippy::unreachable, reason = "lengths were checked, and it takes over all it is given")]
        if whole.0.append(other).is_err() {
            unreachable!("the sum of the lengths is {sum}");
        }
        Ok(())
    }
}

/// Puts the rest of a chain behind it again, also when a tag of what was put in between panics.
struct Rejoin<'a, H: Head>(&'a mut MbufChain<H>, Option<Chain>);

impl<H: Head> Drop for Rejoin<'_, H> {
    fn drop(&mut self) {
        // Lengths were checked, and a chain's own parts are never too long for it.
        drop(self.1.take().map(|rest| self.0.append(rest)));
    }
}
