//! The slabs of one object size: growth, the limit, and which slots are free.
//!
//! ```text
//! slab   slots   ┌──────┬──────┬──────┬─┄   one run of pages, zeroed once
//!                │ Head │ Head │ Head │
//!                └──────┴──────┴──────┴─┄
//!        blocks  ┌──────┬──────┬──────┬─┄   a second run, when the shape has one: the memory that slot i
//!                │  0   │  1   │  2   │     describes, with nothing of ours inside
//!                └──────┴──────┴──────┴─┄
//!        free    0b…01101                   outside both, so that a stray write cannot bend it
//! ```
//!
//! Everything here runs under the keg's lock and on the slow path, a slot at a time.
#![allow(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use crate::check::ZoneFault;
use crate::group::Budget;
use crate::head::{Head, Object};
use crate::page::PageSource;
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Sizes of a zone's slots, and of the memory blocks that go with them.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    slot: Layout,
    block: Option<Layout>,
}

impl Shape {
    /// Slots of the given layout, which begins with a [`Head`].
    ///
    /// # Panics
    /// If the slot is smaller or less aligned than a `Head`.
    pub fn new(slot: Layout) -> Self {
        assert!(
            slot.size() >= size_of::<Head>() && slot.align() >= align_of::<Head>(),
            "a slot begins with a Head"
        );
        Shape { slot: slot.pad_to_align(), block: None }
    }

    /// Gives every slot a separate block of memory of this layout. Blocks lie side by side, so one whose size is
    /// not a multiple of its alignment would not stay aligned: the size is used as it is and must be.
    ///
    /// # Panics
    /// If the size is zero or not a multiple of the alignment.
    pub fn with_block(self, block: Layout) -> Self {
        assert!(block.size() > 0 && block.size().is_multiple_of(block.align()), "blocks lie side by side");
        Shape { block: Some(block), ..self }
    }

    /// Bytes that one object takes, slot and block.
    pub(crate) fn bytes(&self) -> usize {
        self.slot.size() + self.block.map_or(0, |b| b.size())
    }

    fn layouts(&self, count: usize) -> Option<(Layout, Option<Layout>)> {
        let run = |one: Layout| {
            let size = one.size().checked_mul(count)?;
            Layout::from_size_align(size, one.align().max(64)).ok()
        };
        let block = match self.block {
            Some(block) => Some(run(block)?),
            None => None,
        };
        Some((run(self.slot)?, block))
    }
}

/// # Invariants
/// 1. `slots` is a live run of `count` slots; `blocks`, if any, a live run of `count` blocks.
/// 2. Bit `i` of `free` is set exactly when slot `i` is in the keg, not with a zone; `free_count` is their number.
struct Slab {
    slots: NonNull<u8>,
    blocks: Option<NonNull<u8>>,
    count: usize,
    free: Vec<u64>,
    free_count: usize,
    /// No word of `free` before this one has a bit set.
    first: usize,
}

struct State {
    /// Slabs by index; a given-back slab leaves `None`, which the next new one fills.
    slabs: Vec<Option<Slab>>,
    /// Indices of slabs that have free slots. The last is used first. There is room for all of them.
    partial: Vec<u32>,
    used: usize,
    peak: usize,
    total: usize,
    /// Why the last slot was refused.
    refused: Cause,
}

// SAFETY: slabs own their runs; the pointers are used only under the keg's lock.
unsafe impl Send for State {}

/// Why a keg or a zone had nothing to give.
//
// As wide as an object, so that a result of one or the other stays in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
#[non_exhaustive]
pub enum Cause {
    /// Every object the limit allows is in use.
    Limit,
    /// The page source is dry, or there is no memory for the record of a slab.
    Memory,
    /// The byte budget of the zone's [`Group`](crate::raw::Group) is in use.
    Budget,
    /// Others wait for what is free, and this thread is [polite](crate::raw::politely).
    Waiters,
    /// A part that each object needs (say, a cluster for a packet) could not be had.
    Part,
    /// The hooks of an [observed](crate::raw::RawZone::observe) zone refused.
    Refused,
    /// They refused a part.
    PartRefused,
}

/// The slabs of one shape. Shared by a zone and its secondary zones.
pub(crate) struct Keg {
    shape: Shape,
    /// Objects that may be out of the keg at once; `usize::MAX` is no limit.
    limit: AtomicUsize,
    source: Arc<dyn PageSource>,
    /// Charged for every slot that is out.
    budget: Arc<Budget>,
    state: Mutex<State>,
}

/// What a keg holds, in objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KegStats {
    pub(crate) peak: usize,
    pub(crate) total: usize,
}

/// Smaller under Miri, where tests that take all that there is would take minutes.
const SMALLEST_SLAB: usize = if cfg!(miri) { 32 << 10 } else { 64 << 10 };
const LARGEST_SLAB: usize = 2 << 20;

impl Keg {
    pub(crate) fn new(
        shape: Shape,
        limit: Option<usize>,
        source: Arc<dyn PageSource>,
        budget: Arc<Budget>,
    ) -> Self {
        let state = State {
            slabs: Vec::new(),
            partial: Vec::new(),
            used: 0,
            peak: 0,
            total: 0,
            refused: Cause::Memory,
        };
        let limit = AtomicUsize::new(limit.unwrap_or(usize::MAX));
        Keg { shape, limit, source, budget, state: Mutex::new(state) }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|&limit| limit != usize::MAX)
    }

    pub(crate) fn stats(&self) -> KegStats {
        let state = self.state.lock();
        KegStats { peak: state.peak, total: state.total }
    }

    /// Changes the limit.
    pub(crate) fn set_limit(&self, limit: Option<usize>) {
        let _state = self.state.lock();
        self.limit.store(limit.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// How many slots would have to come back for limit and budget to hold.
    pub(crate) fn beyond(&self) -> usize {
        let limited = self.state.lock().used.saturating_sub(self.limit.load(Ordering::Relaxed));
        limited.max(self.budget.beyond().div_ceil(self.shape.bytes()))
    }

    /// What stands in the way of one more slot; if nothing does any more, what did when the last one was refused.
    pub(crate) fn obstacle(&self) -> Cause {
        let state = self.state.lock();
        if state.used >= self.limit.load(Ordering::Relaxed) {
            Cause::Limit
        } else if !self.budget.has(self.shape.bytes()) {
            Cause::Budget
        } else {
            state.refused
        }
    }

    /// Takes a slot and its block, or says why not.
    pub(crate) fn take(&self) -> Result<(Object, Option<NonNull<u8>>), Cause> {
        let mut state = self.state.lock();
        let taken = self.take_from(&mut state, true);
        if let Err(cause) = taken {
            state.refused = cause;
        }
        taken
    }

    /// Takes a slot of the slabs there are.
    pub(crate) fn take_ready(&self) -> Option<(Object, Option<NonNull<u8>>)> {
        self.take_from(&mut self.state.lock(), false).ok()
    }

    fn take_from(&self, state: &mut State, grow: bool) -> Result<(Object, Option<NonNull<u8>>), Cause> {
        // Relaxed: changed under the lock that the caller holds.
        let limit = self.limit.load(Ordering::Relaxed);
        if state.used >= limit {
            return Err(Cause::Limit);
        }
        if state.partial.is_empty() && !grow {
            return Err(Cause::Memory);
        }
        if !self.budget.charge(self.shape.bytes()) {
            return Err(Cause::Budget);
        }
        if state.partial.is_empty() && !self.grow(state, limit) {
            self.budget.refund(self.shape.bytes());
            return Err(Cause::Memory);
        }
        let &index = state.partial.last().expect("there is one, or one was made");
        let slab = state.slabs[index as usize].as_mut().expect("a partial slab exists");
        let slot = slab.pop_free().expect("a partial slab has a free slot");
        let taken = slab.slot(index, slot, &self.shape);
        if slab.free_count == 0 {
            state.partial.pop();
        }
        state.used += 1;
        state.peak = state.peak.max(state.used);
        Ok(taken)
    }

    /// The block of a slot that is out.
    pub(crate) fn block(&self, slot: Object) -> Option<NonNull<u8>> {
        // SAFETY: the head of a slot that is out of the keg is live.
        let (index, at) = unsafe { slot.head() }.place();
        let state = self.state.lock();
        let slab = state.slabs[index as usize].as_ref().expect("the slab of a slot that is out exists");
        slab.slot(index, at as usize, &self.shape).1
    }

    /// Free slots, as far as limit and memory that is there already allow no less; what the limit leaves.
    pub(crate) fn room(&self) -> usize {
        self.limit.load(Ordering::Relaxed).saturating_sub(self.state.lock().used)
    }

    /// Puts a slot back.
    ///
    /// # Safety
    /// `object` came from `take` of this keg, was finished by its zone, and nothing refers to it any more.
    pub(crate) unsafe fn put(&self, object: Object) {
        // SAFETY: the head of a slot that is out of the keg is live and ours alone by the contract.
        let (index, slot) = unsafe { object.head().place() };
        let mut state = self.state.lock();
        let slab = state.slabs[index as usize].as_mut().expect("the slab of a slot that is out exists");
        slab.push_free(slot as usize);
        if slab.free_count == 1 {
            state.partial.push(index);
        }
        state.used -= 1;
        self.budget.refund(self.shape.bytes());
    }

    /// Gives every empty slab back to the page source. Returns the bytes given back.
    pub(crate) fn trim(&self) -> usize {
        let mut freed = Vec::new();
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            for entry in &mut state.slabs {
                if entry.as_ref().is_some_and(|slab| slab.free_count == slab.count) {
                    freed.extend(entry.take());
                }
            }
            let slabs = &state.slabs;
            state.partial.retain(|&index| slabs[index as usize].is_some());
            state.total -= freed.iter().map(|slab| slab.count).sum::<usize>();
        }
        let mut bytes = 0;
        for slab in freed {
            bytes += slab.count * self.shape.bytes();
            self.release(&slab);
        }
        bytes
    }

    /// Adds a slab. The first ones are small, later ones as large as all before them, up to 2 MiB: small zones
    /// stay small, large ones get long runs for large pages. Where there are blocks it is their run that is so long.
    fn grow(&self, state: &mut State, limit: usize) -> bool {
        let State { slabs, partial, .. } = state;
        let more = slabs.len() + 1 - partial.len();
        if slabs.try_reserve(1).is_err() || partial.try_reserve(more).is_err() {
            return false;
        }
        let unit = self.shape.block.map_or(self.shape.slot.size(), |block| block.size());
        let bytes = state.total.saturating_mul(unit).clamp(SMALLEST_SLAB, LARGEST_SLAB);
        let mut count = (bytes / unit).max(1).min(limit.saturating_sub(state.total).max(1));
        loop {
            if let Some(slab) = self.slab(count) {
                let index = state.slabs.iter().position(Option::is_none).unwrap_or(state.slabs.len());
                let Ok(name) = u32::try_from(index) else {
                    self.release(&slab);
                    return false;
                };
                state.total += slab.count;
                if index == state.slabs.len() {
                    state.slabs.push(Some(slab));
                } else {
                    state.slabs[index] = Some(slab);
                }
                state.partial.push(name);
                return true;
            }
            // A source that is nearly dry may still have room for a smaller slab.
            if count == 1 {
                return false;
            }
            count /= 2;
        }
    }

    fn slab(&self, count: usize) -> Option<Slab> {
        let (slots_layout, blocks_layout) = self.shape.layouts(count)?;
        let mut free = Vec::new();
        free.try_reserve_exact(count.div_ceil(64)).ok()?;
        free.resize(count.div_ceil(64), u64::MAX);
        if !count.is_multiple_of(64) {
            *free.last_mut()? = (1 << (count % 64)) - 1;
        }
        let slots = self.source.acquire(slots_layout)?;
        let blocks = match blocks_layout {
            None => None,
            Some(layout) => match self.source.acquire(layout) {
                Some(blocks) => Some(blocks),
                None => {
                    // SAFETY: acquired above with this layout, never used.
                    unsafe { self.source.release(slots, slots_layout) };
                    return None;
                }
            },
        };
        Some(Slab { slots, blocks, count, free, free_count: count, first: 0 })
    }

    fn release(&self, slab: &Slab) {
        let (slots, blocks) = self.shape.layouts(slab.count).expect("the layouts the slab was made with");
        // SAFETY: both runs were acquired with these layouts, and every slot is in the keg.
        unsafe {
            self.source.release(slab.slots, slots);
            if let (Some(run), Some(layout)) = (slab.blocks, blocks) {
                self.source.release(run, layout);
            }
        }
    }
}

impl Keg {
    /// Whether the slabs, their free sets and the totals agree. Returns how many slots are out.
    pub(crate) fn check(&self) -> Result<usize, ZoneFault> {
        let state = self.state.lock();
        let (mut used, mut total) = (0, 0);
        for (index, slab) in state.slabs.iter().enumerate() {
            let Some(slab) = slab else { continue };
            let free: usize = slab.free.iter().map(|bits| bits.count_ones() as usize).sum();
            let beyond =
                slab.count % 64 != 0 && slab.free.last().is_some_and(|bits| bits >> (slab.count % 64) != 0);
            let skipped = slab.free.iter().take(slab.first).any(|&bits| bits != 0);
            let listed = state.partial.iter().filter(|&&name| name as usize == index).count();
            let wrong = beyond || skipped || free != slab.free_count || listed != usize::from(free > 0);
            if wrong {
                return Err(ZoneFault::FreeSet { slab: index, free, said: slab.free_count });
            }
            used += slab.count - free;
            total += slab.count;
        }
        if (used, total) != (state.used, state.total) {
            return Err(ZoneFault::Totals { used, total, said: (state.used, state.total) });
        }
        Ok(used)
    }

    /// Whether an address is that of a slot which is out, and knows its place.
    pub(crate) fn is_out(&self, object: Object) -> bool {
        let at = object.as_ptr::<u8>().as_ptr().addr();
        let size = self.shape.slot.size();
        let state = self.state.lock();
        let slabs = state.slabs.iter().enumerate();
        slabs.filter_map(|(index, slab)| Some((index, slab.as_ref()?))).any(|(index, slab)| {
            let offset = at.wrapping_sub(slab.slots.as_ptr().addr());
            let slot = offset / size;
            slot < slab.count
                && offset.is_multiple_of(size)
                && slab.free[slot / 64] >> (slot % 64) & 1 == 0
                // SAFETY: a slot that is out; places change in the keg alone.
                && unsafe { object.head() }.place() == (index as u32, slot as u32)
        })
    }
}

impl Drop for Keg {
    fn drop(&mut self) {
        self.trim();
        // A slab that is still in use here would be a zone that died before its objects. Zones cannot: each object
        // of a closed zone holds it. Keep the memory rather than pull it away.
        debug_assert_eq!(self.state.lock().used, 0, "a keg outlived its objects");
    }
}

impl Slab {
    fn pop_free(&mut self) -> Option<usize> {
        let word = self.first + self.free[self.first..].iter().position(|&bits| bits != 0)?;
        self.first = word;
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= self.free[word] - 1;
        self.free_count -= 1;
        Some(word * 64 + bit)
    }

    fn push_free(&mut self, slot: usize) {
        let mask = 1 << (slot % 64);
        assert!(self.free[slot / 64] & mask == 0, "slot {slot} was put into its keg twice");
        self.free[slot / 64] |= mask;
        self.first = self.first.min(slot / 64);
        self.free_count += 1;
    }

    fn slot(&self, index: u32, slot: usize, shape: &Shape) -> (Object, Option<NonNull<u8>>) {
        // SAFETY: `slot < count`, so both stay inside the runs (invariant 1); the slot is out of the keg for the
        // caller alone (invariant 2), so its head may be written. Zeroed memory is a valid `Head`.
        unsafe {
            let head = self.slots.add(slot * shape.slot.size()).cast::<Head>();
            head.as_ref().set_place(index, slot as u32);
            let block = match (self.blocks, shape.block) {
                (Some(run), Some(block)) => Some(run.add(slot * block.size())),
                _ => None,
            };
            (Object::new(head), block)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::page::Heap;
    use crate::raw::Group;

    fn keg(limit: Option<usize>) -> (Keg, Group) {
        let group = Group::new();
        let shape = Shape::new(Layout::from_size_align(64, 16).unwrap());
        (Keg::new(shape, limit, Arc::new(Heap), group.0.budget.clone()), group)
    }

    fn take(keg: &Keg, n: usize) -> Vec<Object> {
        (0..n).map(|_| keg.take().unwrap().0).collect()
    }

    fn put(keg: &Keg, objects: impl IntoIterator<Item = Object>) {
        // SAFETY: callers took them.
        objects.into_iter().for_each(|object| unsafe { keg.put(object) });
    }

    #[test]
    fn slots_that_come_back_in_any_order_are_found_again() {
        let (keg, _group) = keg(None);
        let slots = SMALLEST_SLAB / 64;
        let mut objects = take(&keg, slots);
        assert_eq!((keg.check(), keg.stats().total), (Ok(slots), slots));
        // From each word of the free set, in an order in which the first that is free goes up and down.
        let mut at = 0;
        for n in 1..=slots / 3 {
            at = (at + 677) % objects.len();
            put(&keg, [objects.swap_remove(at)]);
            assert_eq!(keg.check(), Ok(slots - n));
        }
        objects.extend(take(&keg, slots / 3));
        assert_eq!((keg.check(), keg.stats().total), (Ok(slots), slots), "those, and no new slab");
        let mut places: Vec<_> = objects.iter().map(|object| object.as_ptr::<u8>().addr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), slots);
        put(&keg, objects);
        assert_eq!((keg.trim(), keg.stats().total), (SMALLEST_SLAB, 0));
    }

    #[test]
    fn what_a_slab_or_the_keg_says_wrongly_is_found() {
        let (keg, _group) = keg(Some(70));
        let objects = take(&keg, 3);
        let (free, slab) = (67, 0);
        // Does something, looks, and undoes it.
        let broken = |with: &dyn Fn(&mut State)| {
            let undo = {
                let mut state = keg.state.lock();
                let s = state.slabs[0].as_ref().unwrap();
                let undo =
                    (s.free.clone(), s.free_count, s.first, state.partial.clone(), state.used, state.total);
                with(&mut state);
                undo
            };
            let found = keg.check();
            let mut state = keg.state.lock();
            let state = &mut *state;
            let s = state.slabs[0].as_mut().unwrap();
            (s.free, s.free_count, s.first, state.partial, state.used, state.total) = undo;
            found
        };
        fn first(state: &mut State) -> &mut Slab {
            state.slabs[0].as_mut().unwrap()
        }
        let wrong = |free, said| Err(ZoneFault::FreeSet { slab, free, said });
        assert_eq!(broken(&|_| ()), Ok(3));
        assert_eq!(broken(&|state| first(state).free_count -= 1), wrong(free, free - 1));
        // A bit for a slot that there is not.
        assert_eq!(
            broken(&|state| {
                first(state).free[1] |= 1 << 6;
                first(state).free_count += 1;
            }),
            wrong(free + 1, free + 1)
        );
        assert_eq!(broken(&|state| first(state).first = 1), wrong(free, free));
        assert_eq!(broken(&|state| state.partial.clear()), wrong(free, free));
        assert_eq!(broken(&|state| state.partial.push(0)), wrong(free, free));
        let totals = |used, total| Err(ZoneFault::Totals { used: 3, total: 70, said: (used, total) });
        assert_eq!(broken(&|state| state.used += 1), totals(4, 70));
        assert_eq!(broken(&|state| state.total -= 1), totals(3, 69));
        assert_eq!(broken(&|_| ()), Ok(3));
        // A slab that is full is in no list.
        let more = take(&keg, free);
        assert_eq!((keg.check(), keg.take()), (Ok(70), Err(Cause::Limit)));
        put(&keg, objects.into_iter().chain(more));
        assert_eq!(keg.check(), Ok(0));
    }

    #[test]
    fn only_slots_that_are_out_and_know_their_place_are_out() {
        let (keg, _group) = keg(Some(70));
        let mut objects = take(&keg, 70);
        assert!(objects.iter().all(|&object| keg.is_out(object)));
        let last = objects.pop().unwrap();
        put(&keg, [last]);
        assert!(!keg.is_out(last));
        let at = |object: Object, by: isize| {
            let at = object.as_ptr::<Head>().as_ptr().wrapping_byte_offset(by);
            keg.is_out(Object::new(NonNull::new(at).unwrap()))
        };
        assert!(at(objects[1], 0) && !at(objects[1], 16), "within a slot");
        assert!(!at(objects[0], -64) && !at(last, 64), "before the first, behind the last");
        // One that took another's place.
        // SAFETY: slots that are out, and ours.
        let (a, b) = unsafe { (objects[0].head(), objects[1].head()) };
        let (slab, slot) = a.place();
        a.set_place(b.place().0, b.place().1);
        assert!(!keg.is_out(objects[0]) && keg.is_out(objects[1]));
        a.set_place(slab, slot);
        assert!(keg.is_out(objects[0]));
        put(&keg, objects);
    }

    #[test]
    fn a_slot_that_is_out_leads_to_its_block() {
        let block = Layout::from_size_align(128, 64).unwrap();
        let shape = Shape::new(Layout::from_size_align(64, 16).unwrap()).with_block(block);
        let group = Group::new();
        let keg = Keg::new(shape, Some(3), Arc::new(Heap), group.0.budget.clone());
        let taken: Vec<_> = (0..3).map(|_| keg.take().unwrap()).collect();
        assert!(taken.iter().all(|&(slot, block)| block.is_some() && keg.block(slot) == block));
        put(&keg, taken.into_iter().map(|(slot, _)| slot));
        let (plain, _group) = self::keg(None);
        let slot = plain.take().unwrap().0;
        assert_eq!(plain.block(slot), None);
        put(&plain, [slot]);
    }

    #[test]
    fn what_stands_in_the_way_of_a_slot_is_told_as_it_is() {
        let (keg, group) = keg(Some(2));
        assert_eq!((keg.obstacle(), keg.room()), (Cause::Memory, 2), "nothing else, and nothing was refused");
        let one = take(&keg, 1);
        group.set_budget(Some(64 * 2 - 1));
        assert_eq!((keg.obstacle(), keg.take()), (Cause::Budget, Err(Cause::Budget)));
        group.set_budget(Some(64 * 2));
        assert_eq!(keg.obstacle(), Cause::Budget, "who was refused asks when it is over");
        let two = take(&keg, 1);
        assert_eq!((keg.obstacle(), keg.room(), keg.take()), (Cause::Limit, 0, Err(Cause::Limit)));
        put(&keg, one.into_iter().chain(two));
        assert_eq!((keg.obstacle(), keg.room()), (Cause::Limit, 2), "as before");
        assert_eq!(group.charged(), 0);
    }
}
