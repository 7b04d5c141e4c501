//! More cores than there are here: a simulation of caches, stashes and the depot's lock, from measured costs.
//!
//! Each core allocates packets, does something else with each, and frees it or hands it to another core that does. Caches
//! are as in `mbuf-zone`: a loaded magazine, a spare one, and a stash of full ones that grows when a core takes back what it
//! gave. Everything but the depot's lock is the core's own. The lock serves one at a time, in the order in which they come;
//! to have it takes what the lines it protects take to come from the core that had them.

use std::collections::BinaryHeap;

use crate::Settings;
use crate::costs::{Costs, measure as costs};
use crate::plot::{Line, Plot};
use crate::report::{Section, both, number};
use crate::sample::Random;

const CORES_PER_NODE: usize = 32;
const MAGAZINE: u32 = 64;
const STASH: u32 = 64;
/// Assumed: a line from the other node takes so many times as long.
const FAR: f64 = 2.5;
/// Assumed: ns of other work on a packet, on average; from nothing to twice that.
const WORK: f64 = 100.0;
const PACKETS: usize = 20_000;

/// Who frees.
#[derive(Clone, Copy, PartialEq)]
enum Pattern {
    /// This share of the packets is freed by another core, any of them.
    Random(f64),
    /// Half of the cores allocate, each for one of the other half, on the same node, that frees.
    Pairs,
}

#[derive(Clone, Copy)]
struct Model {
    cores: usize,
    pattern: Pattern,
    pool_per_node: bool,
    /// Magazines that a stash may have.
    stash: u32,
    magazine: u32,
    line: f64,
    pair: f64,
    exchange: f64,
}

/// One core's cache of one pool.
#[derive(Default, Clone, Copy)]
struct Cache {
    loaded: u32,
    spare: u32,
    stash: u32,
    room: u32,
    given: u32,
}

impl Cache {
    /// Whether the depot is needed.
    fn get(&mut self, model: &Model) -> bool {
        let mut depot = false;
        if self.loaded == 0 {
            if self.spare == 0 {
                if self.stash > 0 {
                    self.stash -= 1;
                } else {
                    depot = true;
                    if self.given > 0 {
                        self.given -= 1;
                        self.room = (self.room + 1).min(model.stash);
                    }
                }
                self.spare = model.magazine;
            }
            std::mem::swap(&mut self.loaded, &mut self.spare);
        }
        self.loaded -= 1;
        depot
    }

    fn put(&mut self, model: &Model) -> bool {
        let mut depot = false;
        if self.loaded == model.magazine {
            if self.spare == model.magazine {
                if self.stash < self.room {
                    self.stash += 1;
                } else {
                    self.given = (self.given + 1).min(STASH);
                    depot = true;
                }
                self.spare = 0;
            }
            std::mem::swap(&mut self.loaded, &mut self.spare);
        }
        self.loaded += 1;
        depot
    }
}

/// The depot's lock of a pool.
#[derive(Default, Clone, Copy)]
struct Lock {
    free_at: f64,
    node: usize,
    busy: f64,
    exchanges: usize,
}

struct Outcome {
    /// Packets, in millions a second.
    rate: f64,
    /// Of the time, the busiest lock is held.
    busy: f64,
    /// Exchanges per 1000 packets.
    exchanges: f64,
}

/// A core at a time of its own; the earliest first.
#[derive(PartialEq)]
struct Turn(f64, usize);

impl Eq for Turn {}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Model {
    fn node(&self, core: usize) -> usize {
        core / CORES_PER_NODE
    }

    /// A line that was used on one node comes to the other.
    fn distance(&self, from: usize, to: usize) -> f64 {
        if from == to { 1.0 } else { FAR }
    }

    fn run(&self) -> Outcome {
        let mut random = Random::new(11);
        // One per pool; caches of each core for each pool.
        let mut locks = [Lock::default(); 2];
        let mut caches = vec![[Cache::default(); 2]; self.cores];
        // What others sent: from which node, and of which pool.
        let mut inboxes: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.cores];
        let mut turns: BinaryHeap<Turn> = (0..self.cores).map(|core| Turn(core as f64, core)).collect();
        // Stashes grow as they are used.
        let (warm, packets) = (self.cores * PACKETS, self.cores * PACKETS);
        let (mut done, mut since) = (0, 0.0);
        let mut now = 0.0;
        while done < warm + packets {
            let Some(Turn(at, core)) = turns.pop() else { break };
            let (node, mut t) = (self.node(core), at);
            let depot = |t: &mut f64, lock: &mut Lock| {
                let start = t.max(lock.free_at);
                let took = self.exchange * self.distance(lock.node, node);
                *t = start + took;
                *lock = Lock { free_at: *t, node, busy: lock.busy + took, exchanges: lock.exchanges + 1 };
            };
            let allocates = self.pattern != Pattern::Pairs || core % 2 == 0;
            // One thing at a time, so that nobody is far ahead of the others when it comes to the lock.
            if let Some((from, pool)) = inboxes[core].pop() {
                // The header comes from the core that had it.
                t += self.pair / 2.0 + self.line * self.distance(from, node);
                if caches[core][pool].put(self) {
                    depot(&mut t, &mut locks[pool]);
                }
                done += 1;
            } else if allocates {
                let pool = if self.pool_per_node { node } else { 0 };
                t += WORK * (random.below(256) as f64 / 128.0) + self.pair / 2.0;
                if caches[core][pool].get(self) {
                    depot(&mut t, &mut locks[pool]);
                }
                let to = match self.pattern {
                    Pattern::Pairs => core + 1,
                    Pattern::Random(share) => {
                        let away = (random.below(1 << 20) as f64) < share * (1 << 20) as f64;
                        if away { (core + 1 + random.below(self.cores - 1)) % self.cores } else { core }
                    }
                };
                if to == core {
                    t += self.pair / 2.0;
                    if caches[core][pool].put(self) {
                        depot(&mut t, &mut locks[pool]);
                    }
                    done += 1;
                } else {
                    inboxes[to].push((node, pool));
                }
            } else {
                // Looks again soon.
                t += WORK / 4.0;
            }
            now = t.max(now);
            if done >= warm && since == 0.0 {
                since = now;
                done = warm;
                locks.iter_mut().for_each(|lock| (lock.busy, lock.exchanges) = (0.0, 0));
            }
            turns.push(Turn(t, core));
        }
        let time = now - since;
        Outcome {
            rate: packets as f64 / time * 1000.0,
            busy: locks.iter().fold(0.0, |most: f64, lock| most.max(lock.busy)) / time,
            exchanges: locks.iter().map(|lock| lock.exchanges).sum::<usize>() as f64 / packets as f64
                * 1000.0,
        }
    }
}

const PATTERNS: [(&str, Pattern); 5] = [
    ("none freed elsewhere", Pattern::Random(0.0)),
    ("10 % freed by any other core", Pattern::Random(0.1)),
    ("50 %", Pattern::Random(0.5)),
    ("100 %", Pattern::Random(1.0)),
    ("one core allocates, another frees", Pattern::Pairs),
];

pub fn measure(settings: &Settings) -> Section {
    let mut section = Section::default();
    let costs = costs(settings.rounds);
    say_costs(&mut section, &costs);
    let model = Model {
        cores: 2,
        pattern: Pattern::Pairs,
        pool_per_node: false,
        stash: STASH,
        magazine: MAGAZINE,
        line: costs.line,
        pair: costs.pair,
        exchange: costs.exchange,
    };
    let head = [
        "cores",
        "packets",
        "one pool: M packets/s",
        "depot's lock held",
        "exchanges per 1000",
        "without stash: M packets/s",
        "lock held",
        "magazines of 256: M packets/s",
        "lock held",
        "a pool per node: M packets/s",
        "busier lock held",
    ];
    let mut lines: Vec<Line> =
        PATTERNS.map(|(name, _)| Line { name: name.into(), points: Vec::new() }).into();
    let mut rows = Vec::new();
    for cores in [2, 4, 8, 16, 32, 64] {
        for (line, (name, pattern)) in lines.iter_mut().zip(PATTERNS) {
            let model = Model { cores, pattern, ..model };
            let one = model.run();
            line.points.push((cores as f64, one.rate));
            let mut row = vec![cores.to_string(), name.into()];
            let percent = |busy: f64| format!("{:.0} %", busy * 100.0);
            row.extend([number(one.rate), percent(one.busy), number(one.exchanges)]);
            let others = [
                Some(Model { stash: 0, ..model }),
                Some(Model { magazine: 256, ..model }),
                (cores > CORES_PER_NODE).then_some(Model { pool_per_node: true, ..model }),
            ];
            for other in others {
                let outcome = other.map(|it| it.run());
                row.push(outcome.as_ref().map_or("–".into(), |it| number(it.rate)));
                row.push(outcome.map_or("–".into(), |it| percent(it.busy)));
            }
            rows.push(row);
        }
    }
    section.say("Simulated:");
    section.table(&head, rows);
    section.plots.push(Plot {
        name: "model",
        title: "simulated: one pool, 32 cores per node, 100 ns of other work per packet",
        x: "cores",
        y: "million packets a second",
        lines,
    });
    section
}

fn say_costs(section: &mut Section, costs: &Costs) {
    section.say("Measured on two cores, ns:");
    let row = |what: &str, value: f64| vec![what.to_string(), number(value)];
    let mut rows = vec![
        row("a cache line goes to the other core", costs.line),
        row("a lock that no other core has had", costs.lock),
        row("a lock that both cores take all the time, each time", costs.contended),
        row("a packet with cluster allocated and freed", costs.pair),
        vec!["membarrier beside one running thread (best / median)".into(), both(&costs.barrier)],
    ];
    for (room, took) in &costs.passed {
        rows.push(row(&format!("an object allocated here, freed there, magazines of {room}"), *took));
    }
    rows.push(row(
        "an exchange in the depot while another core does so (half of that with magazines of one)",
        costs.exchange,
    ));
    section.table(&["", "ns"], rows);
    // The two of each 64 packets.
    let most = f64::from(MAGAZINE) / 2.0 / costs.exchange * 1000.0;
    section.say(format!(
        "So one depot's lock carries {} million exchanges a second at most: {} million packets that one core allocates and \
         another frees.",
        number(1000.0 / costs.exchange),
        number(most),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Model = Model {
        cores: 4,
        pattern: Pattern::Pairs,
        pool_per_node: false,
        stash: STASH,
        magazine: MAGAZINE,
        line: 60.0,
        pair: 2.0,
        exchange: 200.0,
    };

    #[test]
    fn a_core_that_frees_its_own_needs_no_depot() {
        let outcome = Model { pattern: Pattern::Random(0.0), ..MODEL }.run();
        assert!(outcome.exchanges < 0.1, "{}", outcome.exchanges);
        // Four cores, a packet each 102 ns.
        assert!((outcome.rate - 4000.0 / 102.0).abs() < 1.0, "{}", outcome.rate);
    }

    #[test]
    fn pairs_exchange_twice_for_each_magazine() {
        let outcome = MODEL.run();
        assert!((outcome.exchanges - 2000.0 / 64.0).abs() < 1.0, "{}", outcome.exchanges);
    }

    #[test]
    fn one_lock_is_all_there_is_when_it_is_busy() {
        let outcome = Model { cores: 64, exchange: 2000.0, ..MODEL }.run();
        assert!(outcome.busy > 0.95, "{}", outcome.busy);
    }
}
