//! Who has which buffer, since when, and what happens to memory that nobody has.
//!
//! ```text
//! zones, observed ──taken, returned──▶ hooks (raw/zones) ──▶ Auditor ─▶ Ledger: live buffers, graves of free ones, findings
//! operations ──────shared, split─────▶ if the mbuf is tracked ──▲          │
//!                                                      AuditReport ◀───────┘ copies, under the lock
//! ```
//!
//! A report is made of the ledger alone. No buffer is looked at but by the thread that takes it or gives it back, between
//! its user and its zone.

mod ledger;
mod report;
mod scope;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use mbuf_zone::raw::{Mutex, Site};

pub use self::report::{AuditReport, Buffer, Damage, Finding, History, LifeEvent, LiveBuffer, LiveGroup};
pub use self::scope::LeakScope;
use super::hooks::survives;
use super::{Pool, PoolBuilder, Shared};
use crate::raw::zones::LARGEST_MAGAZINE;
use crate::raw::{Plot, Plots};
use ledger::Ledger;

/// How a pool is audited: see [`Pool::set_audit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    one_in: u32,
    poison: bool,
}

impl Audit {
    /// Every allocation is recorded.
    pub const fn every() -> Self {
        Self::one_in(1)
    }

    /// About one allocation in `n` is recorded, without a pattern. All of them if `n` is zero.
    ///
    /// From 128 on these are samples for production: the pool keeps its caches, and looks only when a thread's is empty. What
    /// is allocated then is recorded for all that the thread gets with it, up to 128 mbufs: with a probability that makes it
    /// one in `n` of the mbufs, with or without a cluster, by which what a thread has in use grows. What is freed and allocated
    /// again and again is not seen, but where caches are shut: [locked](crate::PoolBuilder::locked) ones, and all while
    /// somebody waits or a limit is lowered; there it is one in `n` of all mbufs. Free buffers are not filled.
    pub const fn one_in(n: u32) -> Self {
        Audit { one_in: if n == 0 { 1 } else { n }, poison: true }
    }

    /// Whether it is enough to look at what goes past the caches.
    pub(super) const fn is_sparse(self) -> bool {
        self.one_in as usize >= LARGEST_MAGAZINE
    }

    /// Whether what comes back is filled.
    const fn fills(self) -> bool {
        self.poison && !self.is_sparse()
    }

    /// What a number in a setting means: zero for none.
    pub(super) fn of_setting(n: usize) -> Option<Self> {
        u32::try_from(n).ok().filter(|&n| n > 0).map(Self::one_in)
    }

    /// One allocation in so many is recorded.
    pub const fn frequency(self) -> u32 {
        self.one_in
    }

    /// Buffers that come back are left as they are, not filled and looked at again when they are handed out.
    pub const fn without_poison(self) -> Self {
        Audit { poison: false, ..self }
    }
}

/// What an audit has to say when it is not asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditEvent<'a> {
    /// Memory was written that nobody has. The pool goes on.
    Found(&'a Finding),
    /// The last handle of the pool is gone, and these buffers are not back.
    Left(&'a AuditReport),
}

impl core::fmt::Display for AuditEvent<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AuditEvent::Found(finding) => finding.fmt(f),
            AuditEvent::Left(report) => write!(f, "the pool is closed and has buffers out; {report}"),
        }
    }
}

pub(super) type Tell = dyn Fn(&AuditEvent<'_>) + Send + Sync;

#[cfg(feature = "log")]
const LOG: Option<&Tell> = Some(&|event| log::error!(target: "mbuf", "{event}"));
#[cfg(not(feature = "log"))]
const LOG: Option<&Tell> = None;

/// The audit of a pool, on or off.
pub(crate) struct Auditor {
    state: Mutex<State>,
    /// Whether there is a ledger, for those who need not know exactly.
    on: AtomicBool,
    tell: Option<Arc<Tell>>,
}

#[derive(Default)]
struct State {
    /// What the program wants.
    asked: Option<Audit>,
    /// Leak scopes, which want everything.
    scopes: usize,
    /// There while the audit is on.
    ledger: Option<Ledger>,
}

impl State {
    /// What is to be done.
    fn wanted(&self) -> Option<Audit> {
        match self.asked {
            Some(asked) if self.scopes > 0 => Some(Audit { one_in: 1, ..asked }),
            None if self.scopes > 0 => Some(Audit::every()),
            asked => asked,
        }
    }
}

impl Auditor {
    pub(super) fn new(tell: Option<Arc<Tell>>) -> Self {
        Auditor { state: Mutex::new(State::default()), on: false.into(), tell }
    }

    /// That of another pool, off.
    pub(super) fn again(&self) -> Self {
        Self::new(self.tell.clone())
    }

    /// Relaxed: what it says is a matter of time; what it is about is behind the lock.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Whether every buffer that comes and goes is looked at, and not samples alone. Takes a lock.
    #[cfg(feature = "ffi")]
    #[cold]
    pub(crate) fn sees_all(&self) -> bool {
        self.state.lock().ledger.as_ref().is_some_and(|ledger| !ledger.audit.is_sparse())
    }

    pub(crate) fn asked(&self) -> Option<Audit> {
        self.state.lock().asked
    }

    /// What is to be done.
    pub(crate) fn wanted(&self) -> Option<Audit> {
        self.state.lock().wanted()
    }

    /// Does what is wanted, from here on.
    pub(crate) fn settle(&self, wanted: Option<Audit>) {
        let mut state = self.state.lock();
        match (wanted, &mut state.ledger) {
            (None, ledger) => *ledger = None,
            (Some(audit), Some(ledger)) => ledger.change(audit),
            (Some(audit), ledger) => *ledger = Some(Ledger::new(audit)),
        }
        self.on.store(wanted.is_some(), Ordering::Relaxed);
    }

    /// With the ledger, if the audit is on; then, without the lock, tells what was found.
    fn with<R>(&self, f: impl FnOnce(&mut Ledger) -> R) -> Option<R> {
        let (result, news) = {
            let mut state = self.state.lock();
            let ledger = state.ledger.as_mut()?;
            let result = f(ledger);
            (result, ledger.news())
        };
        for finding in &news {
            self.tell(&AuditEvent::Found(finding));
        }
        Some(result)
    }

    /// Tells what was found where locks were held.
    pub(crate) fn tell_news(&self) {
        if self.is_on() {
            self.with(|_| ());
        }
    }

    pub(crate) fn tell(&self, event: &AuditEvent<'_>) {
        if let Some(say) = self.tell.as_deref().or(LOG) {
            survives(|| say(event));
        }
    }

    /// A buffer is about to be handed out, and stands for `many`. Whether it gets a record.
    pub(crate) fn taken(
        &self,
        what: Buffer,
        address: usize,
        site: Site,
        many: usize,
        plots: Plots<'_>,
    ) -> bool {
        self.with(|ledger| ledger.taken(what, address, site, many, plots)).unwrap_or(false)
    }

    /// A buffer came back.
    pub(crate) fn returned(&self, address: usize, plots: Plots<'_>) {
        self.with(|ledger| ledger.returned(address, plots));
    }

    /// An mbuf with a record is about to be freed, perhaps into a cache that nobody looks at.
    pub(crate) fn freed(&self, address: usize) {
        self.with(|ledger| ledger.freed(address));
    }

    /// The memory of a free buffer leaves the pool's zone. Called with locks held: what is found is told later.
    pub(crate) fn retired<'a>(&self, plots: impl Iterator<Item = Plot<'a>>) {
        if self.is_on()
            && let Some(ledger) = &mut self.state.lock().ledger
        {
            ledger.retired(plots);
        }
    }

    /// Something happened to a buffer in use.
    pub(crate) fn note(&self, address: usize, event: LifeEvent) {
        self.with(|ledger| ledger.note(address, event));
    }

    pub(crate) fn claim(&self, address: usize, owner: &'static str, id: u32) {
        self.with(|ledger| ledger.claim(address, owner, id));
    }

    /// The number that the next record will have.
    fn next(&self) -> u64 {
        self.with(|ledger| ledger.next()).unwrap_or(0)
    }

    /// What there is from a record on.
    fn report(&self, pool: &str, from: u64) -> AuditReport {
        let mut report = AuditReport { pool: pool.into(), ..AuditReport::default() };
        self.with(|ledger| ledger.report(&mut report, from));
        report
    }
}

impl Shared {
    pub(crate) fn set_audit(&self, audit: Option<Audit>) {
        self.change_audit(|state| state.asked = audit);
    }

    fn change_audit(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.inspector.auditor.state.lock());
        self.observe();
    }

    pub(super) fn audit_report(&self, from: u64) -> AuditReport {
        self.inspector.auditor.report(&self.name, from)
    }

    /// The last handle of the pool goes.
    pub(super) fn tell_what_is_left(&self) {
        let auditor = &self.inspector.auditor;
        if auditor.is_on() {
            let report = self.audit_report(0);
            if !report.live.is_empty() {
                auditor.tell(&AuditEvent::Left(&report));
            }
        }
    }
}

impl Pool {
    /// Begins, changes or ends the audit of this pool. While it is on, the pool knows of every buffer that was allocated
    /// since, or of a sample, which line of the program asked for it, on which thread, when, and what happened to it; and
    /// it finds out whether buffers are written that were freed. See [`audit_report`](Self::audit_report).
    ///
    /// To end it forgets everything. By name it is `kern.ipc.mbuf.audit` ([`Tunable::Audit`](crate::Tunable::Audit)). A
    /// [reservation](Self::reservation) has an audit of its own.
    ///
    /// # Cost
    /// None while it is off, and none afterwards. While it is on the pool works without caches, through one lock, unless it is
    /// a sample of one in 128 or fewer ([`Audit::one_in`]); `docs/debugging.md` has figures.
    /// # BSD
    /// DragonFly's `MBUF_DEBUG`, but at run time; the trash constructors of FreeBSD's zones.
    #[doc(alias = "MBUF_DEBUG")]
    #[doc(alias = "trash_ctor")]
    #[doc(alias = "trash_dtor")]
    pub fn set_audit(&self, audit: Option<Audit>) {
        self.shared().set_audit(audit);
    }

    /// How the pool is audited, if it is.
    pub fn audit(&self) -> Option<Audit> {
        self.shared().inspector.auditor.asked()
    }

    /// Who has which of the pool's buffers, and what was found: as far as the audit knows. `Display` groups them by the
    /// line that asked for them, most first.
    ///
    /// ```
    /// use mbuf::{Audit, Packet, Pool};
    /// let pool = Pool::builder().name("rx").audit(Audit::every()).build()?;
    /// let packet = Packet::with_cluster(&pool)?;
    /// let line = line!() - 1;
    /// packet.claim("parser", 7);
    /// let report = pool.audit_report();
    /// assert_eq!(report.live[0].site.line(), line);
    /// assert_eq!((report.live[0].owner, report.live[0].id), (Some("parser"), 7));
    /// println!("{report}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Cost
    /// O(buffers in use); nobody allocates or frees meanwhile.
    /// # BSD
    /// `kern.ipc.showmbufs`.
    #[doc(alias = "showmbufs")]
    #[doc(alias = "mbuftrack_show")]
    pub fn audit_report(&self) -> AuditReport {
        self.shared().audit_report(0)
    }
}

impl PoolBuilder {
    /// Audits the pool from the beginning: see [`Pool::set_audit`]. Default: not.
    pub fn audit(mut self, audit: Audit) -> Self {
        self.settings.audit = Some(audit);
        self
    }

    /// Puts 64 bytes that belong to nobody behind each cluster. The [audit](Pool::set_audit) looks at them when a cluster comes
    /// back, and finds out whether something (a device, code in C) wrote behind the end. Default: not, for then clusters
    /// begin at multiples of 64 bytes only, and do not lie side by side.
    ///
    /// Mbufs have no room for guards, and external storage is not the pool's.
    pub fn guards(mut self, guards: bool) -> Self {
        self.settings.guards = guards;
        self
    }

    /// Calls `tell` when the [audit](Pool::set_audit) finds memory written that nobody has, the first 64 times, and when the
    /// last handle of an audited pool is dropped while buffers are out. Default: an error through the crate `log`, with the
    /// feature of that name, otherwise nothing.
    ///
    /// It is called by the thread that found it, which holds no lock of the pool; it may allocate and free. If it panics,
    /// that ends there.
    pub fn on_audit(mut self, tell: impl Fn(&AuditEvent<'_>) + Send + Sync + 'static) -> Self {
        self.settings.tell = Some(Arc::new(tell));
        self
    }
}
