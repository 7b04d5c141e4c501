//! Objects on their way back to their kegs, whatever their hooks do, and what is left to do when they are there.
//!
//! Whoever moves free objects holds `Kin::moving` (see `limit.rs`). Meanwhile nothing of the user's runs: the `fini` of
//! quiet zones is the library's own, parts go past the threads' caches, and telling those who wait, or letting go of a
//! closed zone, is left for [`Later`].
#![allow(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use crate::group::Moving;
use crate::head::Object;
use crate::keg::Keg;
use crate::zone::Core;

/// A slot on its way back to its keg.
pub(crate) struct Home<'a>(pub(crate) &'a Keg, pub(crate) Object);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        // SAFETY: whoever made this gave away an object of this keg that is finished when this is dropped.
        unsafe { self.0.put(self.1) };
    }
}

/// A slot that counts as out and holds no object.
pub(crate) struct Bare<'a>(pub(crate) &'a Arc<Core>, pub(crate) Object);

impl Drop for Bare<'_> {
    fn drop(&mut self) {
        self.0.discard_bare(self.1);
    }
}

/// What is left to do when an object is back in the keg, or in the depot. Runs the user's code.
pub(crate) struct Back {
    pub(crate) core: Arc<Core>,
    /// The object came back to a closed zone, which counts it as out until this is dropped: so whoever finds that it was
    /// the last finds all of them in the keg.
    pub(crate) counted: bool,
    pub(crate) watched: bool,
}

impl Drop for Back {
    fn drop(&mut self) {
        /// Done even if telling panics.
        struct Rest<'a>(&'a Back);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.0.rest();
            }
        }
        let _rest = Rest(self);
        if self.watched {
            self.core.tell();
        }
    }
}

impl Back {
    fn rest(&self) {
        let Back { core, counted, .. } = self;
        if !core.is_closed() {
            return;
        }
        let last = *counted && core.uncount();
        // One that does not count may have been on its way when the zone was closed.
        if last || !*counted {
            core.keg().trim();
        }
        if *counted {
            core.let_go();
        }
        if last {
            // SAFETY: the reference that the objects held together (invariant 1 of `Core`). We have our own, so this
            // is not the last one.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(core)) };
        }
    }
}

/// What to do when no lock is held any more: when this is dropped.
#[derive(Default)]
pub(crate) struct Later(Vec<Back>);

impl Later {
    pub(crate) fn push(&mut self, back: Back) {
        self.0.push(back);
    }
}

/// What is given back.
pub(crate) enum Spare {
    /// A free object.
    Whole(Object),
    /// A slot without one.
    Bare(Object),
}

/// Free objects and bare slots that no longer count as out, to be given back to their kegs.
#[derive(Default)]
pub(crate) struct Finish {
    spares: Vec<(Arc<Core>, Spare)>,
    later: Later,
    panic: Option<Panic>,
}

impl Finish {
    pub(crate) fn add(&mut self, zone: &Arc<Core>, spare: Spare) {
        self.spares.push((zone.clone(), spare));
    }

    pub(crate) fn later(&mut self, back: Back) {
        self.later.push(back);
    }

    /// Whether to take more of a zone: with hooks that mind the lock, not more than is in hand at a time.
    pub(crate) fn has_room_for(&self, zone: &Core) -> bool {
        zone.is_quiet() || self.spares.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.spares.len()
    }

    /// Gives them back; without the lock if a hook could mind it. Then, without it, does what is left to do; then goes on
    /// with the first panic of a hook, if there was one.
    pub(crate) fn finish(mut self, moving: Moving<'_>) {
        let moving = Some(moving).filter(|_| self.spares.iter().all(|(zone, _)| zone.is_quiet()));
        self.all();
        drop(moving);
        drop(mem::take(&mut self.later));
        if let Some(panic) = self.panic.take() {
            panic.go_on();
        }
    }

    fn all(&mut self) {
        while let Some((zone, spare)) = self.spares.pop() {
            let object = match spare {
                Spare::Whole(object) => object,
                Spare::Bare(slot) => {
                    drop(Home(zone.keg(), slot));
                    continue;
                }
            };
            let later = &mut self.later;
            if let Err(panic) = Panic::catch(|| zone.finish(object, later)) {
                self.panic.get_or_insert(panic);
            }
            if !zone.is_quiet() {
                // It may be closed meanwhile: nobody kept it from that while its hook ran.
                self.later.push(Back { core: zone, counted: false, watched: false });
            }
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.all();
    }
}

/// A panic of a hook, kept until what it interrupted is done.
#[cfg(feature = "std")]
struct Panic(std::boxed::Box<dyn core::any::Any + Send>);

#[cfg(feature = "std")]
impl Panic {
    fn catch(f: impl FnOnce()) -> Result<(), Panic> {
        std::panic::catch_unwind(core::panic::AssertUnwindSafe(f)).map_err(Panic)
    }

    fn go_on(self) {
        std::panic::resume_unwind(self.0);
    }
}

/// Without std a panic cannot be kept.
#[cfg(not(feature = "std"))]
enum Panic {}

#[cfg(not(feature = "std"))]
impl Panic {
    fn catch(f: impl FnOnce()) -> Result<(), Panic> {
        f();
        Ok(())
    }

    fn go_on(self) {
        match self {}
    }
}
