//! Who looks at what comes and goes: faults, and the audit.

use alloc::sync::Arc;

use mbuf_zone::raw::Observed;

use super::audit::{Auditor, Tell};
use super::{Audit, Faults};

/// See the module. The hooks of the zones have it, and it has nothing of the zones.
pub(crate) struct Inspector {
    pub(crate) faults: Faults,
    pub(crate) auditor: Auditor,
    /// Bytes behind each cluster that are nobody's.
    pub(crate) guard: usize,
}

impl Inspector {
    pub(super) fn new(guard: usize, tell: Option<Arc<Tell>>) -> Self {
        Inspector { faults: Faults::default(), auditor: Auditor::new(tell), guard }
    }

    /// For a pool over the same kegs.
    pub(crate) fn again(&self) -> Self {
        Inspector { faults: self.faults.again(), auditor: self.auditor.again(), guard: self.guard }
    }

    /// What anybody wants to see of what comes and goes, if that is the audit that is wanted.
    pub(crate) fn looks(&self, audit: Option<Audit>) -> Observed {
        match audit {
            _ if self.faults.watch_allocations() => Observed::Everything,
            None => Observed::Nothing,
            Some(audit) if audit.is_sparse() => Observed::Samples,
            Some(_) => Observed::Everything,
        }
    }
}
