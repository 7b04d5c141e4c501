//! The one place that names atomics, locks and barriers: std, `no_std` or loom.
//!
//! # The asymmetric barrier
//!
//! The owner of a cache publishes its new top and then looks at the bounds; the collector changes the
//! bounds and then reads the top (see `cache.rs`). Each needs its store to be visible before its load. The
//! owner runs on every allocation and every free, the collector hardly ever, so the whole cost is put on the
//! collector: [`light_barrier`] is for the compiler only, and [`heavy_barrier`] makes every running thread of
//! the process execute a full fence (`membarrier(2)`). Where that system call is missing, caches are locked
//! from the start and every operation takes the cache's lock ([`barriers_available`]). Under loom, Miri and on
//! systems other than Linux both barriers are sequentially consistent fences, which is the textbook form.
//! See `docs/design/0003-thread-caches.md`.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr as TopPtr, AtomicUsize, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr as TopPtr, AtomicUsize, Ordering};

/// Never loom's: it lies in slots, which come zeroed from a page source and are never dropped.
pub(crate) use core::sync::atomic::AtomicPtr;

#[cfg(all(not(loom), any(miri, not(all(target_os = "linux", feature = "std")))))]
use core::sync::atomic::fence;

/// True when fences are symmetric: nothing to ask of the system.
#[cfg(any(loom, miri, not(all(target_os = "linux", feature = "std"))))]
mod barrier {
    use super::{Ordering, fence};

    /// Owner's side.
    #[inline(always)]
    pub(crate) fn light_barrier() {
        fence(Ordering::SeqCst);
    }

    /// Collector's side.
    pub(crate) fn heavy_barrier() {
        fence(Ordering::SeqCst);
    }

    /// Whether [`heavy_barrier`] works here.
    pub(crate) fn barriers_available() -> bool {
        true
    }
}

#[cfg(not(any(loom, miri, not(all(target_os = "linux", feature = "std")))))]
#[allow(unsafe_code)]
mod barrier {
    use std::sync::OnceLock;
    use std::sync::atomic::{Ordering, compiler_fence, fence};

    /// Owner's side.
    #[inline(always)]
    pub(crate) fn light_barrier() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Collector's side.
    pub(crate) fn heavy_barrier() {
        fence(Ordering::SeqCst);
        if !membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            // Registration succeeded, or no cache is ever open to the fast path. Only a filter (seccomp) installed
            // since can bring us here. Nothing can be collected safely, and a collector may be the end of a zone.
            std::eprintln!("mbuf-zone: membarrier(2) stopped working after it was registered");
            std::process::abort();
        }
        fence(Ordering::SeqCst);
    }

    /// Whether [`heavy_barrier`] works here. Not for ThreadSanitizer (`--cfg mbuf_tsan`), which knows no barriers but those
    /// of locks and atomics: it sees caches that take their locks, and loom sees the others.
    pub(crate) fn barriers_available() -> bool {
        if cfg!(mbuf_tsan) {
            return false;
        }
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(|| membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
    }

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: the call takes no pointers.
        let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
        result == 0
    }
}

pub(crate) use barrier::{barriers_available, heavy_barrier, light_barrier};

pub(crate) use place::Place;

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod place {
    use core::cell::UnsafeCell;
    use core::mem::MaybeUninit;

    /// Room for one value, shared between threads by a protocol outside it. Under loom it checks that protocol.
    pub(crate) struct Place<T>(UnsafeCell<MaybeUninit<T>>);

    impl<T: Copy> Place<T> {
        pub(crate) const fn new() -> Self {
            Place(UnsafeCell::new(MaybeUninit::uninit()))
        }

        /// # Safety
        /// A value was written, and no thread writes meanwhile.
        #[inline(always)]
        pub(crate) unsafe fn read(&self) -> T {
            // SAFETY: by this function's contract.
            unsafe { (*self.0.get()).assume_init() }
        }

        /// # Safety
        /// No other thread reads or writes meanwhile.
        #[inline(always)]
        pub(crate) unsafe fn write(&self, value: T) {
            // SAFETY: by this function's contract.
            unsafe { (*self.0.get()).write(value) };
        }
    }
}

#[cfg(loom)]
#[allow(unsafe_code)]
mod place {
    use core::mem::MaybeUninit;
    use loom::cell::UnsafeCell;

    /// As above, with loom's race detector.
    pub(crate) struct Place<T>(UnsafeCell<MaybeUninit<T>>);

    impl<T: Copy> Place<T> {
        pub(crate) fn new() -> Self {
            Place(UnsafeCell::new(MaybeUninit::uninit()))
        }

        pub(crate) unsafe fn read(&self) -> T {
            // SAFETY: by this function's contract.
            self.0.with(|value| unsafe { (*value).assume_init() })
        }

        pub(crate) unsafe fn write(&self, value: T) {
            // SAFETY: by this function's contract.
            self.0.with_mut(|place| unsafe { (*place).write(value) });
        }
    }
}

#[cfg(loom)]
mod mutex {
    pub use loom::sync::MutexGuard as Guard;

    /// As without loom.
    #[derive(Debug)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A lock.
        pub fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> Guard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

#[cfg(all(feature = "std", not(loom)))]
mod mutex {
    pub use std::sync::MutexGuard as Guard;
    use std::sync::PoisonError;

    /// The lock of this crate: std's, or a spin lock without std. Its poison is ignored: for data that are whole at
    /// each step of every critical section.
    #[derive(Debug)]
    pub struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A lock.
        pub const fn new(value: T) -> Self {
            Mutex(std::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> Guard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(all(not(feature = "std"), not(loom)))]
#[allow(unsafe_code)]
mod mutex {
    use core::cell::UnsafeCell;
    use core::hint::spin_loop;
    use core::marker::PhantomData;
    use core::ops::{Deref, DerefMut};
    use core::sync::atomic::{AtomicBool, Ordering};

    /// The lock of this crate: a spin lock, for targets without threads to park, or std's. Not for interrupt
    /// handlers that share a zone with what they interrupt.
    ///
    /// # Invariants
    /// 1. `value` is reached only through a `Guard`, and there is at most one while `held` is true.
    #[derive(Debug)]
    pub struct Mutex<T> {
        held: AtomicBool,
        value: UnsafeCell<T>,
    }

    // SAFETY: invariant 1 hands the value to one thread at a time, so `T: Send` is enough for both.
    unsafe impl<T: Send> Send for Mutex<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Sync for Mutex<T> {}

    impl<T> Mutex<T> {
        /// A lock.
        pub const fn new(value: T) -> Self {
            Mutex { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        /// Waits for the lock.
        pub fn lock(&self) -> Guard<'_, T> {
            // Acquire pairs with the Release in `Guard::drop`.
            while self.held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err()
            {
                spin_loop();
            }
            Guard(self, PhantomData)
        }
    }

    /// Shared between threads only if the value may be.
    #[derive(Debug)]
    pub struct Guard<'a, T>(&'a Mutex<T>, PhantomData<&'a mut T>);

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: this guard is the only one (invariant 1).
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: this guard is the only one (invariant 1), borrowed mutably.
            unsafe { &mut *self.0.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            // Release pairs with the Acquire in `Mutex::lock`.
            self.0.held.store(false, Ordering::Release);
        }
    }
}

pub use mutex::{Guard, Mutex};
