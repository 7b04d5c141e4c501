//! Everything that is allocated in here has to be back.

use core::fmt;

use super::AuditReport;
use crate::pool::Pool;

/// A stretch of a test in which nothing may be lost: what is allocated from the pool after it begins, by any thread, has
/// to be back when it ends. See [`Pool::leak_scope`].
///
/// The pool is audited meanwhile, every allocation of it.
#[must_use = "a scope ends when it is dropped"]
pub struct LeakScope {
    pool: Pool,
    from: u64,
    over: bool,
}

impl Pool {
    /// Begins a stretch of the program in which nothing may be lost.
    ///
    /// ```should_panic
    /// use mbuf::{Packet, Pool};
    /// let pool = Pool::new();
    /// let scope = pool.leak_scope();
    /// drop(Packet::new(&pool)?); // fine
    /// std::mem::forget(Packet::new(&pool)?);
    /// drop(scope); // panics, and names the line above
    /// # Ok::<(), mbuf::AllocError>(())
    /// ```
    pub fn leak_scope(&self) -> LeakScope {
        self.shared().change_audit(|state| state.scopes += 1);
        LeakScope { pool: self.clone(), from: self.shared().inspector.auditor.next(), over: false }
    }
}

impl LeakScope {
    /// What is not back yet.
    pub fn live(&self) -> AuditReport {
        self.pool.shared().audit_report(self.from)
    }

    /// Ends the scope.
    ///
    /// # Errors
    /// What is not back.
    pub fn end(mut self) -> Result<(), AuditReport> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), AuditReport> {
        let left = self.live();
        self.over = true;
        self.pool.shared().change_audit(|state| state.scopes -= 1);
        if left.live.is_empty() { Ok(()) } else { Err(left) }
    }
}

/// # Panics
/// If something is not back, unless the thread panics already.
#[allow(clippy::panic, reason = "that is what a scope is for")]
impl Drop for LeakScope {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let result = self.finish();
        #[cfg(feature = "std")]
        if std::thread::panicking() {
            return;
        }
        if let Err(left) = result {
            panic!("not everything that was allocated is back; {left}");
        }
    }
}

impl fmt::Debug for LeakScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeakScope").field("pool", &self.pool).finish_non_exhaustive()
    }
}
