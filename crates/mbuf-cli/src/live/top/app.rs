//! What `top` knows: the pools that are there, how fast they go, and how that was.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use mbuf::PoolStats;
use mbuf::publish::ProcessStats;

use crate::live::{Look, Rates};

/// Points of history kept for each pool.
const HISTORY: usize = 300;

/// A pool: its process, and its place among that one's pools.
pub(super) type Key = (u32, usize);

/// A pool as it was seen.
pub(super) struct Track {
    pub(super) program: String,
    pub(super) stats: PoolStats,
    /// None when it is stale.
    pub(super) rates: Rates,
    /// How long its process has written nothing, if it should have.
    pub(super) stale: Option<String>,
    /// Mbufs handed out per second, the last one last.
    pub(super) speed: VecDeque<u64>,
    /// Bytes in use.
    pub(super) memory: VecDeque<u64>,
    written_ms: u64,
}

/// What the pools are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    #[default]
    Process,
    Memory,
    Speed,
    Denied,
}

impl Sort {
    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Process => "process",
            Sort::Memory => "memory in use",
            Sort::Speed => "mbufs/s",
            Sort::Denied => "denied/s",
        }
    }
}

#[derive(Default)]
pub(super) struct App {
    pools: BTreeMap<Key, Track>,
    selected: Option<Key>,
    pub(super) sort: Sort,
    /// Pages that cannot be read.
    pub(super) trouble: Vec<String>,
}

impl App {
    /// Takes in what there is now. What is not there any more is forgotten.
    pub(super) fn update(&mut self, look: Look) {
        self.trouble = look.damaged.iter().map(ToString::to_string).collect();
        let mut old = std::mem::take(&mut self.pools);
        for process in &look.processes {
            for at in 0..process.pools.len() {
                let key = (process.pid, at);
                let track = Track::next(old.remove(&key), &look, process, at);
                self.pools.insert(key, track);
            }
        }
        if self.selected.is_none_or(|key| !self.pools.contains_key(&key)) {
            self.selected = self.order().first().map(|&(key, _)| key);
        }
    }

    /// The pools, in order.
    pub(super) fn order(&self) -> Vec<(Key, &Track)> {
        let mut order: Vec<_> = self.pools.iter().map(|(&key, track)| (key, track)).collect();
        // Equal ones stay in the order of processes.
        match self.sort {
            Sort::Process => {}
            Sort::Memory => order.sort_by_key(|(_, track)| Reverse(track.stats.bytes_in_use())),
            Sort::Speed => order.sort_by_key(|(_, track)| Reverse(track.rates.allocations as u64)),
            Sort::Denied => order.sort_by_key(|(_, track)| Reverse(track.rates.denied as u64)),
        }
        order
    }

    /// The selected pool, if there is any.
    pub(super) fn selected(&self) -> Option<(Key, &Track)> {
        let key = self.selected?;
        self.pools.get(&key).map(|track| (key, track))
    }

    /// Selects the pool so many further down.
    pub(super) fn select(&mut self, by: isize) {
        let order: Vec<Key> = self.order().into_iter().map(|(key, _)| key).collect();
        let at = order.iter().position(|&key| Some(key) == self.selected).unwrap_or(0);
        let last = order.len().saturating_sub(1);
        self.selected = order.get(at.saturating_add_signed(by).min(last)).copied();
    }

    pub(super) fn sort_next(&mut self) {
        self.sort = match self.sort {
            Sort::Process => Sort::Memory,
            Sort::Memory => Sort::Speed,
            Sort::Speed => Sort::Denied,
            Sort::Denied => Sort::Process,
        };
    }
}

impl Track {
    fn next(old: Option<Track>, look: &Look, process: &ProcessStats, at: usize) -> Track {
        let stats = process.pools[at].clone();
        // Another pool in the same place, or another process of the same number, has no past.
        let old = old.filter(|old| old.stats.name == stats.name && old.program == process.program);
        let stale = look.stale(process);
        let (mut speed, mut memory, mut rates) = (VecDeque::new(), VecDeque::new(), Rates::default());
        if let Some(old) = old {
            (speed, memory, rates) = (old.speed, old.memory, old.rates);
            if process.written_ms > old.written_ms {
                let seconds = (process.written_ms - old.written_ms) as f64 / 1000.0;
                rates = Rates::between(&old.stats, &stats, seconds);
            }
            // A look between two snapshots sees the same speed; one that finds none for long sees none.
            if stale.is_some() {
                rates = Rates::default();
            }
        }
        for (history, point) in
            [(&mut speed, rates.allocations as u64), (&mut memory, stats.bytes_in_use() as u64)]
        {
            history.push_back(point);
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        Track {
            program: process.program.clone(),
            stats,
            rates,
            stale,
            speed,
            memory,
            written_ms: process.written_ms,
        }
    }
}
