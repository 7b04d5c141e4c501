//! The zones of a pool: what they do to their slots, how they help each other when they run dry, and how objects
//! become mbufs.
//!
//! ```text
//!                    ┌────────── keg of mbufs (256 bytes) ─────────┐
//!  mbuf zone ────────┤                                             ├──── packet zones: mbuf + cluster, parked
//!                    └─────────────────────────────────────────────┘       2 KiB  4 KiB  9 KiB  16 KiB
//!                                                                            │ init takes a cluster, fini gives it
//!                          descriptors of 32 bytes, each with a            ▼
//!                          block of exactly its size ───── cluster zones: 2 KiB  4 KiB  9 KiB  16 KiB
//!  external zone: records of external storage
//! ```
//!
//! An mbuf with a cluster comes from the packet zone of its class, and the mbuf belongs to it for life. When mbufs or
//! clusters run short, parked pairs are taken apart, a batch at a time. When the byte budget runs short, free buffers of
//! all classes are given back.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::alloc::Layout;
use core::mem;
use core::ops::Range;
use core::ptr::NonNull;

use mbuf_zone::PageSource;
use mbuf_zone::raw::{Cause, Head, Hooks, Local, Mutex, Object, Observed, RawZone, Settings, Shape, Site};

use super::mbuf::{self, Hold, Mbuf, RawMbuf};
use super::plot::{self, GUARD, Plots};
use super::storage::{External, Storage};
use super::{in_lane, lane};
use crate::config::{Class, MHLEN, MLEN};
use crate::error::{AllocCause, AllocError, OpError, Refused, Resource};
use crate::pool::{Buffer, Counters, Family, Inspector, LifeEvent, Tuning, Warner};

/// Everything the mbufs of a pool share. It lives as long as a handle of the pool or any of its buffers.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) tuning: Tuning,
    pub(crate) inspector: Arc<Inspector>,
    observing: Mutex<()>,
    pub(crate) mbufs: RawZone,
    /// Mbufs with a cluster each, by class.
    pub(crate) packets: [RawZone; 4],
    pub(crate) clusters: [RawZone; 4],
    pub(crate) external: RawZone,
    pub(crate) ops: Counters,
    pub(crate) family: Arc<Family>,
    /// Made for itself, not over the kegs of another pool.
    pub(crate) is_root: bool,
}

/// Where a pool's kegs come from.
enum Origin<'a> {
    New(Limits, Arc<dyn PageSource>),
    Over(&'a Shared),
}

/// Limits, in buffers; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) mbufs: Option<usize>,
    pub(crate) clusters: [Option<usize>; 4],
    /// Bytes of all of them together.
    pub(crate) budget: Option<usize>,
}

/// What the hooks of a pool's zones have in common.
///
/// # Invariants
/// 1. The zone closes while a strong reference exists ([`Shared::close`]), and each object that is out then gets one.
struct Pooled(Weak<Shared>);

impl Pooled {
    fn retain(&self, n: usize) {
        if let Some(shared) = self.0.upgrade() {
            for _ in 0..n {
                mem::forget(shared.clone());
            }
        }
    }

    fn release(&self) {
        // SAFETY: pairs with one `forget` in `retain`: the object that comes back has a strong reference.
        unsafe { Arc::decrement_strong_count(self.0.as_ptr()) };
    }

    fn with<R>(&self, f: impl FnOnce(&Shared) -> R) -> Option<R> {
        self.0.upgrade().map(|shared| f(&shared))
    }
}

/// What the objects of a zone are.
#[derive(Clone, Copy)]
enum Kind {
    Mbufs,
    /// Mbufs with a cluster each.
    Pairs(Class),
    Clusters(Class),
    /// Records of external storage: made when they are handed out.
    Records,
}

impl Kind {
    fn buffer(self) -> Buffer {
        match self {
            Kind::Mbufs => Buffer::Mbuf,
            Kind::Pairs(class) => Buffer::Pair(class),
            Kind::Clusters(class) => Buffer::Cluster(class),
            Kind::Records => Buffer::External,
        }
    }
}

struct PoolHooks(Pooled, Kind, Arc<Inspector>);

impl PoolHooks {
    /// What a free object has of bytes.
    ///
    /// # Safety
    /// The object is a free one of the zone, and nobody else's while the result, and what it gives, is in use.
    unsafe fn plots<'a>(&self, object: Object) -> Plots<'a> {
        let guard = self.2.guard;
        // SAFETY: by this function's contract. A free mbuf holds its storage alone.
        unsafe {
            match self.1 {
                Kind::Mbufs => Plots::of_mbuf(object),
                Kind::Pairs(class) => Plots::of_pair(object, class, guard),
                Kind::Clusters(class) => Plots::of_cluster(object, class, guard),
                Kind::Records => Plots::NONE,
            }
        }
    }
}

// SAFETY: `init` leaves what the pool expects of a free object: an mbuf at rest, with a cluster of its own in a pair,
// storage made of its block, or nothing in a record. `fini` takes the cluster of a pair away; the others hold nothing
// when they are free.
unsafe impl Hooks for PoolHooks {
    unsafe fn init(&self, object: Object, block: Option<NonNull<u8>>) -> bool {
        match self.1 {
            // SAFETY: by the contract of this function.
            Kind::Mbufs => unsafe { mbuf::init(object, None) },
            Kind::Pairs(class) => {
                let cluster = self.0.with(|shared| shared.spare_cluster(class)).flatten();
                let Some(cluster) = cluster else { return false };
                // SAFETY: by the contract of this function; the cluster is fresh and given away.
                unsafe { mbuf::init(object, Some((cluster, class))) };
            }
            Kind::Clusters(class) => {
                // Never missing: the shape has blocks.
                let Some(block) = block else { return false };
                // SAFETY: by the contract of this function; the shape gives blocks of the class's size, zeroed once, and
                // behind that the guard.
                unsafe {
                    Storage::init_cluster(object, block, class.size() as u32);
                    if self.2.guard > 0 {
                        plot::fill_guard(block, class.size());
                    }
                }
            }
            Kind::Records => {}
        }
        true
    }

    fn is_plain(&self) -> bool {
        !matches!(self.1, Kind::Pairs(_))
    }

    unsafe fn fini(&self, object: Object) -> Option<Object> {
        // SAFETY: free, and nobody else's. The storage of a pair stays a free cluster, with what is known of it.
        let plots = unsafe { self.plots(object) };
        let own = if self.1.buffer().is_mbuf() { 1 } else { usize::MAX };
        self.2.auditor.retired(plots.take(own));
        match self.1 {
            // SAFETY: the mbuf is free; its cluster is nobody else's, with its count at one.
            Kind::Pairs(_) => unsafe { mbuf::fini(object) },
            Kind::Mbufs | Kind::Clusters(_) | Kind::Records => None,
        }
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn asked(&self, site: Site) -> Result<(), Cause> {
        let strikes = |resource: Resource| self.2.faults.strikes(resource.into(), site);
        let refused = match self.1 {
            Kind::Mbufs | Kind::Pairs(_) => strikes(Resource::Mbuf),
            Kind::Clusters(class) => strikes(class.into()),
            Kind::Records => strikes(Resource::External),
        };
        match self.1 {
            _ if refused => Err(Cause::Refused),
            Kind::Pairs(class) if strikes(class.into()) => Err(Cause::PartRefused),
            _ => Ok(()),
        }
    }

    unsafe fn taken(&self, object: Object, site: Site, many: usize) {
        let (buffer, address) = (self.1.buffer(), object.as_ptr::<u8>().as_ptr().addr());
        // SAFETY: free, and nobody else's until this returns.
        let plots = unsafe { self.plots(object) };
        let recorded = self.2.auditor.taken(buffer, address, site, many, plots);
        if self.1.buffer().is_mbuf() {
            // SAFETY: as above.
            unsafe { RawMbuf::set_track(object.as_ptr(), recorded) };
        }
    }

    unsafe fn returned(&self, object: Object) {
        let address = object.as_ptr::<u8>().as_ptr().addr();
        // SAFETY: free, and nobody else's until this returns.
        let plots = unsafe { self.plots(object) };
        self.2.auditor.returned(address, plots);
        if self.1.buffer().is_mbuf() {
            // SAFETY: as above.
            unsafe { RawMbuf::set_track(object.as_ptr(), false) };
        }
    }

    fn freed(&self) {
        self.0.with(|shared| {
            let waiting = &shared.family.waiting;
            match self.1 {
                Kind::Mbufs => waiting.mbuf_freed(),
                Kind::Pairs(class) => {
                    waiting.mbuf_freed();
                    waiting.buffer_freed(class);
                }
                Kind::Clusters(class) => waiting.buffer_freed(class),
                Kind::Records => waiting.anything_freed(),
            }
        });
    }

    fn retain(&self, objects: usize) {
        self.0.retain(objects);
    }

    fn release(&self) {
        self.0.release();
    }
}

/// Objects per magazine at most.
pub(crate) const LARGEST_MAGAZINE: usize = 128;

/// Objects per magazine: about 256 KiB of buffers, within reason.
fn magazine(bytes: usize) -> usize {
    (256 * 1024 / bytes).clamp(4, LARGEST_MAGAZINE)
}

impl Shared {
    pub(crate) fn new(
        name: String,
        tuning: Tuning,
        inspector: Inspector,
        limits: Limits,
        source: Arc<dyn PageSource>,
        locked: bool,
        warner: Warner,
    ) -> Arc<Self> {
        let family = Family::new(locked, warner);
        family.group.set_budget(limits.budget);
        Self::make(name, tuning, inspector, family, Origin::New(limits, source))
    }

    /// A pool over the kegs of this one.
    pub(crate) fn child(&self, name: String) -> Arc<Self> {
        let shared = Self::make(
            name,
            self.tuning.again(),
            self.inspector.again(),
            self.family.clone(),
            Origin::Over(self),
        );
        shared.observe();
        shared
    }

    fn make(
        name: String,
        tuning: Tuning,
        inspector: Inspector,
        family: Arc<Family>,
        origin: Origin<'_>,
    ) -> Arc<Self> {
        let inspector = Arc::new(inspector);
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let with_hooks = |kind| Box::new(PoolHooks(Pooled(weak.clone()), kind, inspector.clone()));
            let settings = |bytes| Settings {
                magazine: magazine(bytes),
                user: weak.as_ptr().cast(),
                locked: family.locked,
                group: Some(family.group.clone()),
                ..Settings::default()
            };
            let limited = |limit, bytes, source: &Arc<dyn PageSource>| Settings {
                limit,
                source: source.clone(),
                ..settings(bytes)
            };
            let clusters = Class::ALL.map(|class| {
                let (i, size) = (class.index(), class.size());
                let hooks = with_hooks(Kind::Clusters(class));
                match &origin {
                    Origin::New(limits, source) => {
                        let align = match class {
                            _ if inspector.guard > 0 => GUARD,
                            Class::Jumbo9 => 1024,
                            _ => size.min(4096),
                        };
                        let block = Layout::from_size_align(size + inspector.guard, align);
                        #[allow(clippy::expect_used, reason = "sizes of classes")]
                        let block = block.expect("a constant layout");
                        let shape = Shape::new(Layout::new::<Storage>()).with_block(block);
                        RawZone::new(shape, &limited(limits.clusters[i], size, source), hooks)
                    }
                    Origin::Over(parent) => parent.clusters[i].secondary(&settings(size), hooks),
                }
            });
            let hooks = with_hooks(Kind::Mbufs);
            let mbufs = match &origin {
                Origin::New(limits, source) => {
                    let shape = Shape::new(Layout::new::<RawMbuf>());
                    RawZone::new(shape, &limited(limits.mbufs, 512, source), hooks)
                }
                Origin::Over(parent) => parent.mbufs.secondary(&settings(512), hooks),
            };
            let packets = Class::ALL.map(|class| {
                let parts = Some(clusters[class.index()].as_parts());
                let settings = Settings { parts, ..settings(class.size()) };
                mbufs.secondary(&settings, with_hooks(Kind::Pairs(class)))
            });
            let hooks = with_hooks(Kind::Records);
            let external = match &origin {
                Origin::New(_, source) => {
                    // Records are not charged to the budget.
                    let settings = Settings { group: None, ..limited(None, 512, source) };
                    RawZone::new(Shape::new(Layout::new::<External>()), &settings, hooks)
                }
                Origin::Over(parent) => parent.external.secondary(&settings(512), hooks),
            };
            let is_root = matches!(origin, Origin::New(..));
            let ops = Counters::default();
            Shared {
                name,
                tuning,
                inspector: inspector.clone(),
                observing: Mutex::new(()),
                mbufs,
                packets,
                clusters,
                external,
                ops,
                family: family.clone(),
                is_root,
            }
        });
        family.join(&shared);
        shared
    }

    /// Has the zones show what comes and goes, if anybody wants to see it.
    pub(crate) fn observe(&self) {
        let _one = self.observing.lock();
        let auditor = &self.inspector.auditor;
        let wanted = auditor.wanted();
        let what = self.inspector.looks(wanted);
        // An audit of everything is told of all that comes back: it ends before the zones show less, and begins when they
        // show it.
        let show = || self.zones().for_each(|zone| zone.observe(what));
        if what == Observed::Everything {
            show();
            auditor.settle(wanted);
        } else {
            auditor.settle(wanted);
            show();
        }
    }

    pub(crate) fn trim(&self) -> usize {
        // Pairs first: they give their clusters back.
        let bytes = self.zones().map(RawZone::trim).sum();
        self.inspector.auditor.tell_news();
        bytes
    }

    /// Ends the zones; what is out stays usable and keeps the pool's memory until it comes back.
    pub(crate) fn close(&self) {
        self.zones().for_each(RawZone::close);
        self.inspector.auditor.tell_news();
    }

    /// All zones, those whose objects have parts first.
    fn zones(&self) -> impl Iterator<Item = &RawZone> {
        self.buffers().map(|(_, zone)| zone)
    }

    /// The zones, and what each has.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = (Buffer, &RawZone)> {
        let pairs = Class::ALL.map(Buffer::Pair).into_iter().zip(&self.packets);
        let clusters = Class::ALL.map(Buffer::Cluster).into_iter().zip(&self.clusters);
        let (mbufs, records) = ((Buffer::Mbuf, &self.mbufs), (Buffer::External, &self.external));
        pairs.chain([mbufs]).chain(clusters).chain([records])
    }

    /// Whether this is the head of one of the pool's mbufs.
    #[cfg(feature = "ffi")]
    #[inline]
    pub(crate) fn knows(&self, head: &mbuf_zone::raw::Head) -> bool {
        // Most are one of these.
        let common = || [&self.packets[Class::Cluster.index()], &self.mbufs].into_iter();
        common().any(|zone| zone.is_home_of(head)) || self.home(head).is_some()
    }

    /// Where something is allocated, and its limit kept.
    pub(crate) fn zone(&self, resource: Resource) -> &RawZone {
        match resource {
            Resource::Mbuf => &self.mbufs,
            Resource::Storage(class) => &self.clusters[class.index()],
            Resource::External => &self.external,
        }
    }

    #[cold]
    pub(crate) fn dry(&self, resource: Resource, cause: Cause) -> AllocError {
        // A limit that was lifted meanwhile is none any more.
        let cause = match cause {
            Cause::Limit => self.zone(resource).limit().map(AllocCause::Limit),
            Cause::Budget => self.family.group.budget().map(AllocCause::Budget),
            Cause::Waiters => Some(AllocCause::Waiters),
            Cause::Refused | Cause::PartRefused => Some(AllocCause::Fault),
            _ => None,
        };
        let error = AllocError { resource, cause: cause.unwrap_or(AllocCause::Memory), pool: self.family.id };
        self.family.warner.warn(&self.name, error);
        error
    }

    /// An object of the mbuf zone.
    #[inline(always)]
    #[track_caller]
    fn bare(&self) -> Result<Object, AllocError> {
        self.mbufs.get_or::<{ lane::MBUF }, _>(|cause| self.dry(Resource::Mbuf, cause))
    }

    /// An empty mbuf with inline storage, all of it tailroom.
    #[inline]
    #[track_caller]
    pub(crate) fn inline(&self, header: bool) -> Result<Mbuf, AllocError> {
        self.inline_behind(0, header)
    }

    /// An empty mbuf with inline storage, `headroom` bytes in front.
    ///
    /// # Panics
    /// If that is more than there is.
    #[inline]
    #[track_caller]
    pub(crate) fn inline_behind(&self, headroom: usize, header: bool) -> Result<Mbuf, AllocError> {
        assert!(headroom <= if header { MHLEN } else { MLEN });
        // SAFETY: an object of the mbuf zone, at rest, just handed out; the headroom fits.
        self.bare().map(|object| unsafe { Mbuf::plain(object, header, headroom) })
    }

    /// An empty mbuf with inline storage behind the usual headroom (`m_get`, `m_gethdr`).
    #[inline(always)]
    #[track_caller]
    pub(crate) fn plain(&self, header: bool) -> Result<Mbuf, AllocError> {
        // SAFETY: an object of the mbuf zone, at rest, just handed out; the headroom fits (`Room`, invariant 2).
        self.bare().map(|object| unsafe { Mbuf::plain(object, header, self.tuning.room.link()) })
    }

    /// An mbuf that shows a part of another's window: shared storage, or a copy of inline data, which has to fit.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn showing(
        &self,
        header: bool,
        from: &impl Hold,
        part: Range<usize>,
    ) -> Result<Mbuf, OpError> {
        // Before there is a new mbuf, while there is little to keep in registers.
        from.note(LifeEvent::Shared);
        let object = match self.bare() {
            Ok(object) => object,
            Err(error) => {
                from.note(LifeEvent::Refused);
                return Err(error.into());
            }
        };
        // SAFETY: an object of the mbuf zone, at rest, just handed out.
        unsafe { Mbuf::showing(object, header, from, part) }
    }

    /// An empty mbuf with a packet header and a 2 KiB cluster (`m_getcl`).
    #[inline(always)]
    #[track_caller]
    pub(crate) fn paired(&self) -> Result<Mbuf, AllocError> {
        self.with_class(Class::Cluster, true)
    }

    /// An empty mbuf with storage of a class, behind the usual headroom (`m_getjcl`).
    #[inline(always)]
    #[track_caller]
    pub(crate) fn with_class(&self, class: Class, header: bool) -> Result<Mbuf, AllocError> {
        // SAFETY: the room has no more in front than fits (`Room`, invariant 1).
        unsafe { self.with_class_behind(class, header, || self.tuning.room.header()) }
    }

    /// The same, with so many bytes in front.
    ///
    /// # Safety
    /// These are at most the class's size.
    #[inline(always)]
    #[track_caller]
    pub(super) unsafe fn with_class_behind(
        &self,
        class: Class,
        header: bool,
        headroom: impl FnOnce() -> usize,
    ) -> Result<Mbuf, AllocError> {
        let missing = |cause| self.pair_missing(class, cause);
        let object = in_lane!(PACKETS[class], self.packets[class.index()].get_or::<LANE, _>(missing))?;
        // SAFETY: an object of the class's packet zone, at rest, just handed out; the rest by this function's contract.
        Ok(unsafe { Mbuf::paired(object, class, header, headroom()) })
    }

    /// Which half of a pair ran out.
    #[cold]
    pub(crate) fn pair_missing(&self, class: Class, cause: Cause) -> AllocError {
        let storage = Resource::Storage(class);
        match cause {
            Cause::Part => {
                let zone = self.zone(storage);
                zone.deny();
                self.dry(storage, zone.obstacle())
            }
            Cause::PartRefused => {
                self.zone(storage).deny();
                self.dry(storage, cause)
            }
            // For mbufs or for buffers: the zone does not know what it is watched for.
            Cause::Waiters => self.dry(storage, cause),
            cause => self.dry(Resource::Mbuf, cause),
        }
    }

    /// Whether there is an end of the clusters of a class.
    pub(super) fn is_limited(&self, class: Class) -> bool {
        self.clusters[class.index()].limit().is_some() || self.family.group.budget().is_some()
    }

    /// A cluster, with its count at one, for an mbuf of a packet zone that has none, or has to give up its own.
    pub(super) fn spare_cluster(&self, class: Class) -> Option<Object> {
        in_lane!(CLUSTERS[class], self.clusters[class.index()].get_part::<LANE>())
    }

    /// Pairs of a class that are free, each with a cluster, which to the cluster zone is in use.
    pub(crate) fn parked(&self, class: Class) -> usize {
        let packets = self.packets[class.index()].stats();
        packets.cached.saturating_sub(packets.bare)
    }

    /// The class of the packet zone that an mbuf of this pool belongs to; `None`: it is of the mbuf zone.
    pub(super) fn home(&self, head: &Head) -> Option<Class> {
        Class::ALL.into_iter().find(|class| self.packets[class.index()].is_home_of(head))
    }

    /// A cluster for an mbuf that has no storage.
    #[cfg(feature = "ffi")]
    #[track_caller]
    pub(crate) fn bare_cluster(&self, class: Class) -> Result<BareCluster, AllocError> {
        let zone = &self.clusters[class.index()];
        let missing = |cause| self.dry(Resource::Storage(class), cause);
        in_lane!(CLUSTERS[class], zone.get_or::<LANE, _>(missing)).map(|cluster| BareCluster(cluster, class))
    }

    /// An mbuf with a packet header over memory of the user's.
    ///
    /// # Safety
    /// As for [`Mbuf::attach_external`].
    #[track_caller]
    pub(super) unsafe fn external<O: Send + 'static>(
        &self,
        owner: O,
        read_only: bool,
        find: impl FnOnce(&mut O) -> (*mut u8, usize),
    ) -> Result<Mbuf, Refused<O>> {
        let mut mbuf = match self.inline(true) {
            Ok(mbuf) => mbuf,
            Err(error) => return Err(Refused::new(error, owner)),
        };
        let record = match self.external.get::<{ lane::EXTERNAL }>() {
            Ok(record) => record,
            Err(cause) => return Err(Refused::new(self.dry(Resource::External, cause), owner)),
        };
        // SAFETY: a record just handed out; the rest by this function's contract.
        match unsafe { mbuf.attach_external(record, owner, read_only, find) } {
            Ok(()) => Ok(mbuf),
            Err((owner, len)) => {
                // SAFETY: the record holds nothing.
                unsafe { mbuf_zone::raw::put::<{ lane::EXTERNAL }>(record) };
                Err(Refused::new(OpError::TooLong { len, max: u32::MAX as usize }, owner))
            }
        }
    }
}

/// A cluster that no mbuf has.
///
/// # Invariants
/// 1. An object of the zone of that class, its count at one, that nobody else has.
#[cfg(feature = "ffi")]
pub(crate) struct BareCluster(Object, Class);

#[cfg(feature = "ffi")]
impl Drop for BareCluster {
    fn drop(&mut self) {
        // SAFETY: by invariant 1.
        unsafe { super::storage::put_cluster(self.0, self.1) };
    }
}

#[cfg(feature = "ffi")]
impl Mbuf {
    /// Gives an empty mbuf with inline storage a cluster.
    pub(crate) fn give(&mut self, cluster: BareCluster) {
        assert!(!self.has_storage() && self.len() == 0);
        // SAFETY: by the cluster's invariant, and it is forgotten.
        unsafe { self.attach(cluster.0, cluster.1) };
        mem::forget(cluster);
    }
}

/// Caches of a pool's hot zones that their holder owns.
pub(crate) struct LocalZones {
    packets: Local,
    mbufs: Local,
}

impl LocalZones {
    pub(crate) fn new(shared: &Shared) -> Self {
        LocalZones { packets: shared.packets[Class::Cluster.index()].local(), mbufs: shared.mbufs.local() }
    }

    #[inline]
    #[track_caller]
    pub(crate) fn paired(&mut self, shared: &Shared) -> Result<Mbuf, AllocError> {
        let object = self.packets.get_or(|cause| shared.pair_missing(Class::Cluster, cause))?;
        // SAFETY: as in `Shared::with_class`.
        Ok(unsafe { Mbuf::paired(object, Class::Cluster, true, shared.tuning.room.header()) })
    }

    #[inline]
    #[track_caller]
    pub(crate) fn plain(&mut self, shared: &Shared) -> Result<Mbuf, AllocError> {
        let object = self.mbufs.get_or(|cause| shared.dry(Resource::Mbuf, cause))?;
        // SAFETY: as in `Shared::plain`.
        Ok(unsafe { Mbuf::plain(object, true, shared.tuning.room.link()) })
    }

    /// Frees an mbuf into these caches if it is a simple one of their zones, otherwise wherever it belongs.
    #[inline]
    pub(crate) fn put(&mut self, mbuf: Mbuf) {
        let raw = mbuf.into_raw();
        // SAFETY: the mbuf is ours and unlinked; unmarked it is at rest but for its window.
        unsafe {
            let (object, head) = mbuf::as_object(raw);
            if self.packets.owns(head) {
                self.packets.put(object);
            } else if self.mbufs.owns(head) {
                self.mbufs.put(object);
            } else {
                mbuf::free(raw);
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        self.packets.flush();
        self.mbufs.flush();
    }
}
