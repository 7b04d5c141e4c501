//! Dropping bytes at either end.

use crate::blank::{bounds, rehead};
use crate::error::BoundsError;
use crate::raw::{Head, MbufChain, StorageKind};

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
    /// O(1) if the first segment has more than `n` bytes. Otherwise O(segments dropped), which are freed, for packets,
    /// and O(segments) for headerless chains. Copies nothing, except that a packet header which loses its mbuf may
    /// have to move up to 104 inline bytes of the next one.
    /// # BSD
    /// `m_adj` with a positive count. Differs: it does not stop at the end of the data, and frees what it empties.
    #[doc(alias = "m_adj")]
    #[doc(alias = "rte_pktmbuf_adj")]
    #[doc(alias = "skb_pull")]
    #[inline]
    pub fn trim_front(&mut self, n: usize) -> Result<(), BoundsError> {
        if n == 0 {
            return Ok(());
        }
        if n < self.first().len() {
            // Without asking a headerless chain for its total.
            self.first_mut().trim_front(n);
            self.shorten_total(n);
            return Ok(());
        }
        self.trim_segments(n)
    }

    /// Drops all of the first segment, and what else belongs to the first `n` bytes.
    #[cold]
    #[inline(never)]
    fn trim_segments(&mut self, n: usize) -> Result<(), BoundsError> {
        let total = self.total();
        bounds(0, n, total)?;
        if self.is_single() {
            self.first_mut().trim_front(n);
            self.trimmed(0);
            return Ok(());
        }
        self.edit(total - n, |run, trash| {
            let Some(mut head) = run.pop_front() else { return };
            let emptied = head.len();
            head.edit().trim_front(emptied);
            head.edit().clear_end();
            let (dropped, within) = run.take_front(n - emptied);
            trash.append(dropped);
            if let Some(mut first) = run.segs_mut().next() {
                first.trim_front(within);
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
    /// O(1) for packets if the last segment has more than `n` bytes, otherwise O(segments): the new last one is found
    /// from the front, so many short cuts of a long chain cost far more than a single one. Segments dropped are freed.
    /// Copies nothing.
    /// # BSD
    /// `m_adj` with a negative count. Differs: it does not stop at the start of the data, and frees what it empties.
    #[doc(alias = "m_adj")]
    #[doc(alias = "rte_pktmbuf_trim")]
    #[doc(alias = "skb_trim")]
    #[inline]
    pub fn trim_back(&mut self, n: usize) -> Result<(), BoundsError> {
        if n == 0 {
            return Ok(());
        }
        if H::HEADER && n < self.last().len() {
            self.last_mut().trim_back(n);
            self.shorten_total(n);
            return Ok(());
        }
        self.trim_back_segments(n)
    }

    /// Drops all of the last segment, and what else belongs to the last `n` bytes; or some of a chain whose total has
    /// to be found.
    #[inline(never)]
    fn trim_back_segments(&mut self, n: usize) -> Result<(), BoundsError> {
        let total = self.total();
        bounds(0, n, total)?;
        if n < self.last().len() || self.is_single() {
            self.last_mut().trim_back(n);
            self.trimmed(total - n);
            return Ok(());
        }
        let keep = total - n;
        self.edit(keep, |run, trash| trash.append(run.cut(keep)));
        self.let_go_if_empty();
        Ok(())
    }

    /// After a segment was trimmed where it is.
    #[inline]
    fn trimmed(&mut self, total: usize) {
        if total == 0 {
            self.first_mut().clear_end();
        }
        self.set_total(total);
        self.let_go_if_empty();
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
