//! `m_adj`.

use crate::raw::foreign::Loose;

impl Loose {
    /// Bytes there are.
    pub fn bytes(&self) -> usize {
        self.run.len()
    }

    /// Clears flags of all mbufs (`m_clrprotoflags`).
    pub fn clear_flags(&mut self, flags: crate::Flags) {
        for mut seg in self.segs_mut() {
            let kept = seg.user_flags() & !flags.0;
            seg.set_user_flags(kept);
        }
    }

    /// `m_adj` from the front, if the first mbuf has so many bytes. Whether it has.
    #[inline]
    pub fn trim_first(&mut self, n: usize) -> bool {
        let Some(mut first) = self.segs_mut().next().filter(|first| n <= first.len()) else { return false };
        first.trim_front(n);
        self.add_length(-(n as i64));
        true
    }

    /// `m_adj` from the front: mbufs that become empty stay.
    pub fn trim_front(&mut self, n: usize) {
        let mut left = n;
        for mut seg in self.segs_mut() {
            let k = left.min(seg.len());
            seg.trim_front(k);
            left -= k;
            if left == 0 {
                break;
            }
        }
        self.add_length((left as i64).wrapping_sub(n as i64));
    }

    /// `m_adj` from the back: the first mbuf stays, others that become empty are freed.
    pub fn trim_back(&mut self, n: usize) {
        let total = self.bytes();
        let keep = total.saturating_sub(n);
        let absorbed = self.segs().last().is_some_and(|last| last.len() >= n);
        drop(self.run.cut(keep));
        if absorbed {
            self.add_length(-(n as i64));
        } else {
            self.set_length(keep);
        }
    }
}
