//! [`Pool`]: where mbufs come from.

mod audit;
mod cache;
mod chance;
mod family;
mod faults;
mod hooks;
mod inspector;
mod limits;
#[cfg(all(target_os = "linux", feature = "pressure"))]
mod pressure;
mod reclaim;
mod reservation;
mod stats;
mod tuning;
mod wait;
mod warning;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use mbuf_zone::{Heap, PageSource};

use audit::Tell;
pub use audit::{
    Audit, AuditEvent, AuditReport, Buffer, Damage, Finding, History, LeakScope, LifeEvent, LiveBuffer,
    LiveGroup,
};
pub use cache::PoolCache;
pub(crate) use family::Family;
pub(crate) use faults::Faults;
pub use hooks::HookGuard;
pub(crate) use inspector::Inspector;
pub use limits::LimitChange;
use limits::{Control, Rules};
#[cfg(all(target_os = "linux", feature = "pressure"))]
pub use pressure::{PressureTrigger, PressureWatch};
pub(crate) use reclaim::Reclaim;
pub use reclaim::ReclaimKind;
pub use reservation::ReservationBuilder;
#[cfg(feature = "prometheus")]
pub use stats::Exposition;
pub use stats::{ClassStats, OpStats, PoolStats, TagStats, TypeStats};
pub(crate) use stats::{CountedTag, Counters};
pub(crate) use tuning::{Room, Tuning};
pub use wait::{Wait, WaitFuture};
pub(crate) use wait::{Waiting, Want};
pub use warning::LimitWarning;
use warning::Warn;
pub(crate) use warning::Warner;

use crate::config::{Class, LINK_HEADER, MHLEN};
use crate::error::BuildError;
use crate::fault::Fault;
use crate::raw::GUARD;
use crate::raw::zones::Limits;
pub(crate) use crate::raw::zones::Shared;
use crate::tune::{MAX_HEADROOM, Resolved, SettingErrors, Tunable, Tunables};

/// A pool of mbufs, clusters and external-storage records.
///
/// A handle: clones name the same pool, from any thread. Buffers remember their pool and may outlive every handle;
/// the memory goes back to the system with the last of them.
///
/// ```text
///             ┌ mbufs (256 B) ◀─────────────┐
///  Pool ──────┤                             ├─ packet zones: mbuf + cluster, parked together
///             ├ 2 KiB, 4 KiB, 9 KiB, 16 KiB ◀┘
///             └ records of external storage
/// ```
///
/// Each thread caches free buffers; a limit is exact all the same: before an allocation fails, the free ones are
/// collected from every thread's cache.
///
/// ```
/// use mbuf::{Packet, Pool};
/// let pool = Pool::builder().name("rx").clusters(1024).build()?;
/// let packet = Packet::with_cluster(&pool)?;
/// assert_eq!(pool.stats().clusters.current, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[doc(alias = "mbuf_init")]
#[doc(alias = "mbinit")]
pub struct Pool(Arc<Handle>);

/// The last handle closes the pool.
struct Handle {
    shared: Arc<Shared>,
    control: Arc<Control>,
    #[cfg(all(unix, feature = "publish"))]
    _published: Option<crate::publish::Published>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.tell_what_is_left();
        self.shared.close();
    }
}

impl Pool {
    /// A pool without limits, over the global allocator.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self::make(Settings::default())
    }

    /// A pool as the environment of the process says, over the global allocator; without limits if it says nothing.
    /// See [`Tunables`] for the names of variables.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    #[cfg(feature = "std")]
    pub fn from_env() -> Result<Self, SettingErrors> {
        let mut tunables = Tunables::new();
        tunables.read_env()?;
        Ok(Self::make(Self::builder().tunables(&tunables)?.settings))
    }

    /// Settings, to be changed and built.
    pub fn builder() -> PoolBuilder {
        PoolBuilder { settings: Settings::default() }
    }

    fn make(settings: Settings) -> Self {
        let Settings {
            name,
            room: [link, header, data],
            wait,
            defrag_failures,
            fault,
            audit,
            guards,
            tell,
            rules,
            limits,
            source,
            locked,
            warn,
        } = settings;
        let tuning = Tuning { room: Room::new(link, header, data), ..Tuning::default() };
        tuning.wait.set(wait);
        let inspector = Inspector::new(if guards { GUARD } else { 0 }, tell);
        let shared = Shared::new(name, tuning, inspector, limits, source, locked, Warner::new(warn));
        shared.set_audit(audit);
        shared.set_defrag_failures(defrag_failures);
        shared.set_fault(Tunable::Fault, fault);
        Self::of(shared, Arc::new(Control::new(rules)))
    }

    /// A pool over another one's kegs.
    fn over(parent: &Pool, name: String) -> Self {
        Self::of(parent.shared().child(name), parent.0.control.clone())
    }

    fn of(shared: Arc<Shared>, control: Arc<Control>) -> Self {
        Pool(Arc::new(Handle {
            #[cfg(all(unix, feature = "publish"))]
            _published: crate::publish::from_environment(&shared),
            shared,
            control,
        }))
    }

    #[inline(always)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    #[cfg(all(unix, feature = "publish"))]
    pub(crate) fn stats_of(shared: &Shared) -> PoolStats {
        stats::snapshot(shared)
    }

    fn control(&self) -> &Control {
        &self.0.control
    }

    #[cfg(any(feature = "pressure", feature = "publish"))]
    pub(crate) fn downgrade(&self) -> alloc::sync::Weak<Shared> {
        Arc::downgrade(&self.0.shared)
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.shared().name
    }

    /// Bytes that constructors leave in front of the data in a cluster.
    pub fn headroom(&self) -> usize {
        self.shared().tuning.room.header()
    }

    /// Gives all free buffers, whichever thread's cache they are in, and all empty slabs back to the page source.
    /// Returns the bytes given back. The free buffers of [reservations](Self::reservation) are theirs, and stay.
    ///
    /// # Cost
    /// O(threads and free buffers); collects the caches of all threads, which go without while it does, and holds the lock of
    /// each zone in turn.
    /// # BSD
    /// `zone_drain`. Differs: what threads cache is given back, too.
    pub fn trim(&self) -> usize {
        self.shared().trim()
    }

    /// A cache of the pool's hot buffers that the caller owns: for hot loops, and where there are no thread-locals.
    pub fn cache(&self) -> PoolCache {
        PoolCache::new(self)
    }

    /// A snapshot of the pool's counters; its `Display` is the table of `netstat -m`.
    ///
    /// # Cost
    /// O(threads and reservations). For each kind of buffer, the locks of its zone's list of caches, of its depot, and of
    /// its slabs, one at a time and not while caches are read: threads that allocate from their caches do not wait.
    /// # BSD
    /// `mbstat`, `netstat -m`. Differs: counted per thread and summed here.
    #[doc(alias = "mbstat")]
    #[doc(alias = "netstat")]
    pub fn stats(&self) -> PoolStats {
        stats::snapshot(self.shared())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Settings {
    name: String,
    /// Bytes in front of inline data and of storage; bytes kept inline.
    room: [usize; 3],
    wait: Option<usize>,
    defrag_failures: u32,
    fault: Option<Fault>,
    audit: Option<Audit>,
    guards: bool,
    tell: Option<Arc<Tell>>,
    rules: Rules,
    limits: Limits,
    source: Arc<dyn PageSource>,
    locked: bool,
    warn: Option<Arc<Warn>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: String::from("mbuf"),
            room: [LINK_HEADER, 64, MHLEN],
            wait: Some(0),
            defrag_failures: 0,
            fault: None,
            audit: None,
            guards: false,
            tell: None,
            rules: Rules::default(),
            limits: Limits::default(),
            source: Arc::new(Heap),
            locked: false,
            warn: None,
        }
    }
}

/// Settings of a [`Pool`].
#[derive(Clone)]
pub struct PoolBuilder {
    settings: Settings,
}

impl PoolBuilder {
    /// A name, to tell pools apart: [`Pool::name`], [`PoolStats::name`]. Default: `mbuf`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Takes limits, headroom and rules from tunables: all of them, set there or not. What is set on this builder
    /// afterwards replaces a value of theirs, and nothing follows it any more.
    ///
    /// # Errors
    /// Every rule between them that is broken.
    pub fn tunables(mut self, tunables: &Tunables) -> Result<Self, SettingErrors> {
        let resolved: Resolved = tunables.resolve()?;
        let number = |tunable| resolved.number(tunable);
        // What is not set follows `max_linkhdr` when that changes.
        let data = tunables.get(Tunable::DataLen).map_or(MHLEN, |_| number(Tunable::DataLen));
        self.settings.room = [number(Tunable::LinkHeader), number(Tunable::Header), data];
        self.settings.wait = resolved.value(Tunable::Wait).number();
        self.settings.defrag_failures = number(Tunable::DefragFailures) as u32;
        self.settings.audit = Audit::of_setting(number(Tunable::Audit));
        self.settings.fault = resolved.value(Tunable::Fault).fault();
        self.settings.limits = resolved.limits();
        self.settings.rules = Rules {
            preset: resolved.preset(),
            policy: resolved.policy(),
            users: resolved.value(Tunable::MaxUsers).number(),
        };
        Ok(self)
    }

    /// Mbufs that may be in use, with or without storage. Default: no limit.
    #[doc(alias = "nmbufs")]
    pub fn mbufs(mut self, limit: usize) -> Self {
        self.settings.limits.mbufs = Some(limit);
        self
    }

    /// 2 KiB clusters that may be in use. Default: no limit.
    #[doc(alias = "nmbclusters")]
    pub fn clusters(self, limit: usize) -> Self {
        self.limit(Class::Cluster, limit)
    }

    /// 4 KiB clusters that may be in use. Default: no limit.
    #[doc(alias = "nmbjumbop")]
    pub fn jumbo_pages(self, limit: usize) -> Self {
        self.limit(Class::Page, limit)
    }

    /// 9 KiB clusters that may be in use. Default: no limit.
    #[doc(alias = "nmbjumbo9")]
    pub fn jumbo_9k(self, limit: usize) -> Self {
        self.limit(Class::Jumbo9, limit)
    }

    /// 16 KiB clusters that may be in use. Default: no limit.
    #[doc(alias = "nmbjumbo16")]
    pub fn jumbo_16k(self, limit: usize) -> Self {
        self.limit(Class::Jumbo16, limit)
    }

    /// Buffers of a class that may be in use. Default: no limit.
    pub fn limit(mut self, class: Class, limit: usize) -> Self {
        self.settings.limits.clusters[class.index()] = Some(limit);
        self
    }

    /// Bytes that all mbufs and buffers may take together: see [`Pool::set_budget`]. Default: no limit.
    #[doc(alias = "maxmbufmem")]
    pub fn budget(mut self, bytes: usize) -> Self {
        self.settings.limits.budget = Some(bytes);
        self
    }

    /// Bytes that constructors leave in front of the data in a cluster (`max_linkhdr` and more). Default: 64.
    ///
    /// Packets that are small enough to be inline (up to 88 bytes) leave 16, whatever is set here: if they will be
    /// encapsulated, use [`with_headroom`](crate::MbufChain::with_headroom) or
    /// [`copy_with`](crate::MbufChain::copy_with); or set [`Tunable::LinkHeader`] or [`Tunable::DataLen`].
    #[doc(alias = "max_linkhdr")]
    pub fn headroom(mut self, bytes: usize) -> Self {
        self.settings.room = [bytes.min(LINK_HEADER), bytes, MHLEN];
        self
    }

    /// Where pages come from. Default: the global allocator.
    pub fn pages(mut self, source: impl PageSource + 'static) -> Self {
        self.settings.source = Arc::new(source);
        self
    }

    /// Takes a lock on every allocation and free instead of relying on barriers between threads: what the pool does
    /// by itself where `membarrier(2)` is missing. For tests and comparisons.
    pub fn locked(mut self, locked: bool) -> Self {
        self.settings.locked = locked;
        self
    }

    /// Calls `warn` when an allocation is denied because of a limit, at most once a minute for each resource. Default:
    /// a warning through the crate `log`, with the feature of that name, otherwise nothing.
    ///
    /// It is called by the thread whose allocation failed, which holds no lock of the pool; it may allocate and free.
    /// If it panics, that ends there. Without `std` there is no clock: it is called at every denial.
    ///
    /// ```
    /// # use mbuf::Pool;
    /// let pool = Pool::builder().clusters(1024).on_limit(|warning| eprintln!("{warning}")).build()?;
    /// # Ok::<(), mbuf::BuildError>(())
    /// ```
    ///
    /// # BSD
    /// The message and interval of NetBSD's `pool_sethardlimit`; FreeBSD's `uma_zone_set_warning`.
    #[doc(alias = "pool_sethardlimit")]
    #[doc(alias = "uma_zone_set_warning")]
    pub fn on_limit(mut self, warn: impl Fn(&LimitWarning<'_>) + Send + Sync + 'static) -> Self {
        self.settings.warn = Some(Arc::new(warn));
        self
    }

    /// Makes the pool. It takes memory as it is used.
    ///
    /// # Errors
    /// [`BuildError`], if the settings contradict each other.
    pub fn build(self) -> Result<Pool, BuildError> {
        let (asked, max) = (self.settings.room[1], MAX_HEADROOM);
        if asked > max {
            return Err(BuildError::Headroom { asked, max });
        }
        Ok(Pool::make(self.settings))
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { name, room, limits, rules, locked, .. } = &self.settings;
        f.debug_struct("PoolBuilder")
            .field("name", name)
            .field("headroom", &room[1])
            .field("rules", rules)
            .field("limits", limits)
            .field("locked", locked)
            .finish_non_exhaustive()
    }
}
