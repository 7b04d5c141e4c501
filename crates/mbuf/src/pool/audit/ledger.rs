//! What an audit has written down.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use mbuf_zone::raw::Site;

use super::super::chance::strikes;
use super::Audit;
use super::report::{AuditReport, Buffer, Damage, Finding, History, LifeEvent, LiveBuffer};
use crate::raw::{Hidden, Plot, Plots};

/// What fills buffers that are free.
const POISON: u8 = 0xde;
/// Findings that are kept.
const MOST: usize = 64;

pub(super) struct Ledger {
    pub(super) audit: Audit,
    /// Buffers in use, by address.
    live: BTreeMap<usize, Record>,
    /// Buffers that are free and filled, by the address of what has their bytes.
    graves: BTreeMap<usize, Grave>,
    findings: Vec<Finding>,
    /// Findings beyond those kept.
    more: usize,
    /// Findings that were told.
    told: usize,
    /// Allocations that were shown, recorded or not.
    asked: usize,
    serial: u64,
}

struct Record {
    serial: u64,
    what: Buffer,
    site: Site,
    thread: Arc<str>,
    since: Moment,
    owner: Option<&'static str>,
    id: u32,
    history: History,
    /// It is an mbuf's that is about to be free: who sees it come back takes the record away.
    over: bool,
}

struct Grave {
    /// Who asked for it the last time.
    site: Site,
    /// Who freed it.
    thread: Arc<str>,
    history: History,
    /// Ends before anybody looks.
    hidden: Hidden,
}

impl Ledger {
    pub(super) fn new(audit: Audit) -> Self {
        Ledger {
            audit,
            live: BTreeMap::new(),
            graves: BTreeMap::new(),
            findings: Vec::new(),
            more: 0,
            told: 0,
            asked: 0,
            serial: 0,
        }
    }

    pub(super) fn change(&mut self, audit: Audit) {
        self.audit = audit;
        if audit.is_sparse() {
            // What of these is handed out or comes back goes unseen from here on.
            self.graves.clear();
            self.live.retain(|_, record| record.what.is_mbuf() && !record.over);
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.serial + 1
    }

    /// Findings that nobody was told of yet.
    pub(super) fn news(&mut self) -> Vec<Finding> {
        let told = mem::replace(&mut self.told, self.findings.len());
        self.findings[told..].to_vec()
    }

    /// Returns whether it has a record.
    pub(super) fn taken(
        &mut self,
        what: Buffer,
        address: usize,
        site: Site,
        many: usize,
        plots: Plots<'_>,
    ) -> bool {
        let mut history = History::default();
        for mut plot in plots {
            // The mbuf's is the one that counts; it comes first.
            let before = self.exhume(&mut plot).unwrap_or_default();
            if history == History::default() {
                history = before;
            }
        }
        self.asked = self.asked.wrapping_add(1);
        let seen_off = what.is_mbuf() || !self.audit.is_sparse();
        if !seen_off || !strikes(self.asked, 0, many, self.audit.frequency()) {
            return false;
        }
        self.serial += 1;
        history.push(LifeEvent::Allocated);
        let record = Record {
            serial: self.serial,
            what,
            site,
            thread: this_thread(),
            since: Moment::now(),
            owner: None,
            id: 0,
            history,
            over: false,
        };
        self.live.insert(address, record);
        true
    }

    /// Ends the record of an mbuf. If it will be seen to come back there is more to do, with what the record says.
    pub(super) fn freed(&mut self, address: usize) {
        if self.audit.is_sparse() {
            self.live.remove(&address);
        } else if let Some(record) = self.live.get_mut(&address) {
            record.over = true;
        }
    }

    pub(super) fn returned(&mut self, address: usize, plots: Plots<'_>) {
        let record = self.live.remove(&address);
        let thread = this_thread();
        for mut plot in plots {
            // A cluster that was free all the time, and took the place of one that is shared.
            self.exhume(&mut plot);
            if let Some((offset, found, expected)) = plot.guard_damage() {
                let finding = Finding {
                    what: plot.what,
                    damage: Damage::Overrun,
                    offset,
                    found,
                    expected,
                    site: record.as_ref().map(|record| record.site),
                    thread: thread.clone(),
                    history: record.as_ref().map(|record| record.history).unwrap_or_default(),
                };
                self.add(finding);
                plot.mend_guard();
            }
            let Some(record) = &record else { continue };
            if self.audit.fills() {
                plot.bytes.fill(POISON);
                let mut history = record.history;
                history.push(LifeEvent::Freed);
                let hidden = Hidden::new(plot.bytes);
                let grave = Grave { site: record.site, thread: thread.clone(), history, hidden };
                self.graves.insert(plot.key, grave);
            }
        }
    }

    pub(super) fn retired<'a>(&mut self, plots: impl Iterator<Item = Plot<'a>>) {
        for mut plot in plots {
            self.exhume(&mut plot);
        }
    }

    /// Ends the rest of a free buffer's bytes, and looks whether it was undisturbed.
    fn exhume(&mut self, plot: &mut Plot<'_>) -> Option<History> {
        let Grave { site, thread, history, hidden } = self.graves.remove(&plot.key)?;
        drop(hidden);
        if let Some(offset) = disturbed(plot.bytes) {
            self.add(Finding {
                what: plot.what,
                damage: Damage::WrittenAfterFree,
                offset,
                found: plot.bytes[offset],
                expected: POISON,
                site: Some(site),
                thread,
                history,
            });
        }
        Some(history)
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn note(&mut self, address: usize, event: LifeEvent) {
        if let Some(record) = self.live.get_mut(&address) {
            record.history.push(event);
        }
    }

    pub(super) fn claim(&mut self, address: usize, owner: &'static str, id: u32) {
        if let Some(record) = self.live.get_mut(&address) {
            (record.owner, record.id) = (Some(owner), id);
            record.history.push(LifeEvent::Claimed);
        }
    }

    pub(super) fn report(&self, report: &mut AuditReport, from: u64) {
        let now = Moment::now();
        report.audit = Some(self.audit);
        report.findings = self.findings.clone();
        report.more_findings = self.more;
        let live = self.live.values().filter(|record| record.serial >= from && !record.over);
        report.live = live
            .map(|record| LiveBuffer {
                serial: record.serial,
                what: record.what,
                site: record.site,
                thread: record.thread.clone(),
                age: now.since(&record.since),
                owner: record.owner,
                id: record.id,
                history: record.history,
            })
            .collect();
        report.live.sort_by_key(|live| live.serial);
    }
}

/// The first byte that is not poison.
fn disturbed(bytes: &[u8]) -> Option<usize> {
    // A chunk at a time, without a branch for each byte.
    let differs = |chunk: &[u8]| chunk.iter().fold(0, |sum, byte| sum | (byte ^ POISON)) != 0;
    let chunk = bytes.chunks(64).position(differs)?;
    let within = bytes[chunk * 64..].iter().position(|&byte| byte != POISON)?;
    Some(chunk * 64 + within)
}

/// The name of the running thread.
#[cfg(feature = "std")]
fn this_thread() -> Arc<str> {
    use std::thread;
    thread_local! {
        static NAME: Arc<str> = {
            let thread = thread::current();
            thread.name().map_or_else(|| alloc::format!("{:?}", thread.id()).into(), Arc::from)
        };
    }
    NAME.try_with(Arc::clone).unwrap_or_else(|_| Arc::from("a thread that ends"))
}

#[cfg(not(feature = "std"))]
fn this_thread() -> Arc<str> {
    Arc::from("?")
}

#[cfg(feature = "std")]
struct Moment(std::time::Instant);

#[cfg(feature = "std")]
impl Moment {
    fn now() -> Self {
        Moment(std::time::Instant::now())
    }

    fn since(&self, earlier: &Moment) -> Option<core::time::Duration> {
        Some(self.0.saturating_duration_since(earlier.0))
    }
}

/// Without `std` there is no clock.
#[cfg(not(feature = "std"))]
struct Moment;

#[cfg(not(feature = "std"))]
impl Moment {
    fn now() -> Self {
        Moment
    }

    fn since(&self, _: &Moment) -> Option<core::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::panic::Location;

    /// The zones show samples for a moment more, or already: an mbuf that was recorded is freed, and nobody sees it come
    /// back.
    #[test]
    fn a_switch_while_an_mbuf_is_freed_leaves_no_leak() {
        let (every, samples) = (Audit::every(), Audit::one_in(1000));
        for (taken, freed, after) in [
            (every, every, samples),
            (every, every, every),
            (every, samples, every),
            (samples, every, samples),
        ] {
            let mut ledger = Ledger::new(taken);
            assert!(ledger.taken(Buffer::Mbuf, 256, Location::caller(), 1000, Plots::NONE));
            ledger.change(freed);
            ledger.freed(256);
            ledger.change(after);
            let mut report = AuditReport::default();
            ledger.report(&mut report, 0);
            assert_eq!(report.live.len(), 0, "{taken:?}, {freed:?}, {after:?}");
        }
    }
}
