//! Dropping bytes at either end.

use crate::blank::{bounds, rehead};
use crate::error::BoundsError;
use crate::meta::Flags;
use crate::raw::{Head, MbufChain, Run, StorageKind};

/// Dropping bytes at the ends.
impl<H: Head> MbufChain<H> {
    /// Drops the first `n` bytes.
    ///
    /// ```text
    /// before  [ab]─[cdef]─[gh]
    /// after 3      [ def]─[gh]
    /// ```
    ///
    /// # Errors
    /// [`BoundsError`] if there are fewer; nothing is dropped.
    /// # Cost
    /// O(segments dropped), which are freed. Copies nothing, except that a packet header which loses its mbuf may
    /// have to move up to 104 inline bytes of the next one.
    /// # BSD
    /// `m_adj` with a positive count. Differs: it does not stop at the end of the data, and frees what it empties.
    #[doc(alias = "m_adj")]
    #[doc(alias = "rte_pktmbuf_adj")]
    #[doc(alias = "skb_pull")]
    pub fn trim_front(&mut self, n: usize) -> Result<(), BoundsError> {
        let total = self.total();
        bounds(0, n, total)?;
        if n == 0 {
            return Ok(());
        }
        if n < self.first().len() || self.is_single() {
            self.first_mut().trim_front(n);
            self.set_total(total - n);
            self.let_go_if_empty();
            return Ok(());
        }
        self.edit(total - n, |run, trash| {
            let Some(mut head) = run.pop_front() else { return };
            let mut left = n - head.len();
            let emptied = head.len();
            head.edit().trim_front(emptied);
            head.edit().clear_end();
            while let Some(mut first) = run.pop_front() {
                let k = left.min(first.len());
                if k < first.len() {
                    first.edit().trim_front(k);
                    run.push_front(first);
                    break;
                }
                left -= k;
                trash.push(first);
            }
            rehead(head, run, trash, H::HEADER);
        });
        self.let_go_if_empty();
        Ok(())
    }

    /// Drops the last `n` bytes. A record that loses its end ends with what is left of it.
    ///
    /// # Errors
    /// [`BoundsError`] if there are fewer; nothing is dropped.
    /// # Cost
    /// O(1) for packets if the last segment has more than `n` bytes, otherwise O(segments); those dropped are freed.
    /// Copies nothing.
    /// # BSD
    /// `m_adj` with a negative count. Differs: it does not stop at the start of the data, and frees what it empties.
    #[doc(alias = "m_adj")]
    #[doc(alias = "rte_pktmbuf_trim")]
    #[doc(alias = "skb_trim")]
    pub fn trim_back(&mut self, n: usize) -> Result<(), BoundsError> {
        let total = self.total();
        bounds(0, n, total)?;
        if n == 0 {
            return Ok(());
        }
        if n < self.last().len() || self.is_single() {
            self.last_mut().trim_back(n);
            self.set_total(total - n);
            self.let_go_if_empty();
            return Ok(());
        }
        let keep = total - n;
        self.edit(keep, |run, trash| trash.append(cut(run, keep)));
        self.let_go_if_empty();
        Ok(())
    }

    /// No bytes end no record, and need no storage that others could use: what is shared or external is let go.
    #[inline]
    fn let_go_if_empty(&mut self) {
        if !self.is_empty() {
            return;
        }
        self.first_mut().clear_end();
        let first = self.first();
        if first.kind() == StorageKind::External || !first.is_writable() {
            self.edit(0, |run, trash| {
                if let Some(mut head) = run.pop_front() {
                    trash.push_storage(head.strip());
                    run.push_front(head);
                }
            });
        }
    }

    /// Drops all bytes from `len` on. Shorter chains stay as they are.
    ///
    /// # Cost
    /// As [`trim_back`](Self::trim_back).
    pub fn truncate(&mut self, len: usize) {
        let total = self.total();
        if len < total {
            // Within bounds, so it cannot fail.
            let _ = self.trim_back(total - len);
        }
    }
}

/// Cuts a list down to `keep` bytes and at least one segment; returns the segments cut off. A record that was cut ends
/// with what is left of it.
pub(super) fn cut(run: &mut Run, keep: usize) -> Run {
    let mut kept = Run::new();
    let mut left = keep;
    while let Some(mut seg) = run.pop_front() {
        if left == 0 && !kept.is_empty() {
            run.push_front(seg);
            break;
        }
        let over = seg.len().saturating_sub(left);
        left -= seg.len() - over;
        if over > 0 {
            seg.edit().trim_back(over);
        }
        kept.push_back(seg);
    }
    let rest = core::mem::replace(run, kept);
    if let Some(mut last) = run.segs_mut().last() {
        let cut_off = rest.segs().fold(0, |flags, seg| flags | seg.user_flags());
        let flags = last.user_flags() | cut_off & Flags::END_OF_RECORD.0;
        last.set_user_flags(flags);
    }
    rest
}
