//! Functions of the program that the pool calls.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;

use mbuf_zone::raw::Mutex;

/// Hooks in the order of their keys, and of registration where these are the same.
pub(crate) struct Registry<F: ?Sized, K = ()>(Mutex<List<F, K>>);

struct List<F: ?Sized, K> {
    next: u64,
    hooks: Vec<Entry<F, K>>,
}

struct Entry<F: ?Sized, K> {
    key: K,
    id: u64,
    hook: Arc<F>,
}

impl<F: ?Sized + Send + Sync + 'static, K: Ord + Send + 'static> Registry<F, K> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Registry(Mutex::new(List { next: 0, hooks: Vec::new() })))
    }

    pub(crate) fn register(self: &Arc<Self>, key: K, hook: Arc<F>) -> HookGuard {
        let mut list = self.0.lock();
        let id = list.next;
        list.next += 1;
        let place = list.hooks.partition_point(|entry| entry.key <= key);
        list.hooks.insert(place, Entry { key, id, hook });
        let registry = Arc::downgrade(self);
        HookGuard { registry, id }
    }

    /// The hooks that are registered now, to be called without a lock.
    pub(crate) fn all(&self, which: impl Fn(&K) -> bool) -> Vec<Arc<F>> {
        let list = self.0.lock();
        list.hooks.iter().filter(|entry| which(&entry.key)).map(|entry| entry.hook.clone()).collect()
    }

    /// Calls every hook that is registered now, without a lock. If one panics the others are called all the same,
    /// and then the first panic goes on.
    pub(crate) fn each(&self, call: impl Fn(&F)) {
        let hooks = self.all(|_| true);
        #[cfg(feature = "std")]
        {
            use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
            let calls = hooks.iter().map(|hook| catch_unwind(AssertUnwindSafe(|| call(hook))));
            // All of them, then the first that failed.
            let panics: Vec<_> = calls.filter_map(Result::err).collect();
            if let Some(panic) = panics.into_iter().next() {
                resume_unwind(panic);
            }
        }
        #[cfg(not(feature = "std"))]
        hooks.iter().for_each(|hook| call(hook));
    }
}

/// Calls a function of the program. Returns whether it came to its end; if not, the panic hook has told, and what was
/// thrown is dropped here.
#[cfg(feature = "std")]
pub(crate) fn survives(call: impl FnOnce()) -> bool {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let Err(thrown) = catch_unwind(AssertUnwindSafe(call)) else { return true };
    // Dropping it may throw again; that one is given up.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
        core::mem::forget(again);
    }
    false
}

/// Calls a function of the program. Panics do not come back without `std`.
#[cfg(not(feature = "std"))]
pub(crate) fn survives(call: impl FnOnce()) -> bool {
    call();
    true
}

trait Unregister: Send + Sync {
    fn unregister(&self, id: u64);
}

impl<F: ?Sized + Send + Sync + 'static, K: Send + 'static> Unregister for Registry<F, K> {
    fn unregister(&self, id: u64) {
        let mut list = self.0.lock();
        let place = list.hooks.iter().position(|entry| entry.id == id);
        let hook = place.map(|place| list.hooks.remove(place));
        // What the hook owns is the program's: not dropped with the lock held.
        drop(list);
        drop(hook);
    }
}

/// Unregisters a hook when it is dropped. A call that another thread has begun may still go on then.
///
/// It does not keep the pool alive.
#[must_use = "dropping it unregisters the hook"]
pub struct HookGuard {
    registry: Weak<dyn Unregister>,
    id: u64,
}

impl HookGuard {
    /// Leaves the hook registered for as long as the pool has handles.
    pub fn keep(mut self) {
        self.registry = Weak::<Registry<()>>::new();
    }
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.unregister(self.id);
        }
    }
}

impl fmt::Debug for HookGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookGuard").finish_non_exhaustive()
    }
}
