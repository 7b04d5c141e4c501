//! Random operations on many packets that share storage, beside plain vectors of bytes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use mbuf::{
    Audit, BoundsError, Chain, Class, Fault, Flags, MbufChain, OpError, Packet, PacketQueue, Pool, Refused,
    Reserve, Resource, Segment, StorageKind,
};

use crate::change::change;
use crate::oracle::{Known, Oracle};
use crate::{Counted, Dial, Drops, Hold, InUse, Kind, Op, Snapshot, assert_empty, in_use, pattern};

/// Chains that are alive at once, at most.
const CHAINS: usize = 10;
/// Bytes that a chain may grow to before it is cut.
const LONGEST: usize = 40_000;
/// Different bytes that operations write, to the same place.
const STAMPS: usize = 251;

enum Body {
    Packet(Packet),
    Chain(Chain),
}

/// Runs an expression on the chain inside, of either kind.
macro_rules! on {
    ($body:expr, $chain:ident => $e:expr) => {
        match $body {
            Body::Packet($chain) => $e,
            Body::Chain($chain) => $e,
        }
    };
}

/// A chain and its oracle.
struct Entry {
    body: Body,
    oracle: Oracle,
}

impl Entry {
    fn new<H: Kind>(chain: MbufChain<H>, bytes: Vec<u8>) -> Self {
        Entry { body: wrap(chain), oracle: Oracle::new::<H>(bytes) }
    }

    fn snapshot(&self) -> Snapshot {
        on!(&self.body, chain => Snapshot::of(chain))
    }

    fn check(&mut self, joins: bool) {
        on!(&self.body, chain => self.oracle.compare(chain, joins));
    }
}

/// Two pools, chains that share storage across them, queues, and what all of it should be.
///
/// [`apply`](Self::apply) runs an operation on the real thing and on the oracle; after each, every chain alive is
/// compared with its bytes, and a failed operation must have left everything as it was. Dropping the world checks
/// that the pools are empty and that every owner of external memory was dropped once.
pub struct World {
    pools: [Pool; 2],
    holds: [Hold; 2],
    chains: Vec<Entry>,
    queues: [PacketQueue; 2],
    queued: [VecDeque<Oracle>; 2],
    owners: usize,
    taken_back: usize,
    drops: Drops,
    /// Memory lent for reading, and what it must be for ever.
    lent: Vec<(Arc<[u8]>, Vec<u8>)>,
    /// Where the memory of owners was last seen.
    external: Vec<Range<usize>>,
    noise: Arc<[u8]>,
    stamp: usize,
    last: Option<Op>,
    /// Operations that failed for want of memory.
    pub starved: usize,
    /// Operations that succeeded.
    pub succeeded: usize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world with pools that are small enough to run dry.
    pub fn new() -> Self {
        let pool = |name, headroom: usize, mbufs, clusters| {
            let builder = Pool::builder().name(name).headroom(headroom).mbufs(mbufs).clusters(clusters);
            let builder = builder.locked(headroom == 0);
            let builder = if headroom == 0 { builder.audit(Audit::one_in(3)) } else { builder };
            builder.jumbo_pages(20).jumbo_9k(6).jumbo_16k(6).build().expect("good settings")
        };
        World {
            pools: [pool("one", 64, 400, 60), pool("two", 0, 150, 25)],
            holds: [Hold::default(), Hold::default()],
            chains: Vec::new(),
            queues: [PacketQueue::with_limit(4), PacketQueue::new()],
            queued: Default::default(),
            owners: 0,
            taken_back: 0,
            drops: Drops::new(),
            lent: Vec::new(),
            external: Vec::new(),
            noise: (0..LONGEST + STAMPS).map(pattern).collect(),
            stamp: 0,
            last: None,
            starved: 0,
            succeeded: 0,
        }
    }

    /// One in which the first pool refuses some of what it has.
    pub fn with_fault(fault: Fault) -> Self {
        let world = World::new();
        world.pools[0].inject([fault]);
        world
    }

    fn in_use(&self) -> [InUse; 2] {
        [in_use(&self.pools[0]), in_use(&self.pools[1])]
    }

    /// Fresh bytes, other ones each time.
    fn data(&mut self, len: usize) -> Vec<u8> {
        self.stamp = (self.stamp + 41) % STAMPS;
        self.noise[self.stamp..][..len].to_vec()
    }

    /// Plays a sequence in a new world, and then again and again, each time with another one of its allocations failing,
    /// until there are no more of them. Returns how many there were.
    pub fn with_every_failure(ops: &[Op]) -> u32 {
        for failing in 0.. {
            let mut world = World::with_fault(Fault::nth(failing));
            world.play(ops.iter().copied());
            if world.pools[0].stats().faults == 0 {
                return failing;
            }
        }
        unreachable!("a sequence ends")
    }

    /// Applies operations one by one.
    pub fn play(&mut self, ops: impl IntoIterator<Item = Op>) {
        ops.into_iter().for_each(|op| self.apply(op));
    }

    /// Applies an operation and compares everything.
    pub fn apply(&mut self, op: Op) {
        self.last = Some(op);
        self.lent.retain(|(memory, _)| Arc::strong_count(memory) > 1);
        if self.chains.len() >= CHAINS {
            self.chains.remove(0);
        }
        let before: Vec<Snapshot> = self.chains.iter().map(Entry::snapshot).collect();
        let used = self.in_use();
        let holds = [self.holds[0].len(), self.holds[1].len()];
        match self.run(op) {
            Ok(()) => self.succeeded += 1,
            Err(error) => {
                if matches!(error, OpError::Alloc(_)) {
                    self.starved += 1;
                }
                let after: Vec<Snapshot> = self.chains.iter().map(Entry::snapshot).collect();
                assert_eq!(before, after, "{op:?} failed with {error}, but changed something");
                assert_eq!(used, self.in_use(), "{op:?} failed with {error}, but kept or lost something");
                assert_eq!(holds, [self.holds[0].len(), self.holds[1].len()]);
            }
        }
        for entry in &mut self.chains {
            if entry.oracle.len() > LONGEST {
                on!(&mut entry.body, chain => chain.truncate(LONGEST / 4));
                entry.oracle.truncate(LONGEST / 4);
            }
            if let Body::Chain(chain) = &mut entry.body
                && chain.is_empty()
            {
                // Nothing is promised of these.
                chain.set_flags(Flags::default());
            }
        }
        self.check();
    }

    /// Compares everything that is alive with what it should be.
    pub fn check(&mut self) {
        let joins = self.last.is_some_and(Op::joins);
        self.chains.iter_mut().for_each(|entry| entry.check(joins));
        let audit = self.pools[1].audit_report();
        assert!(audit.findings.is_empty(), "{audit}");
        for (memory, bytes) in &self.lent {
            assert!(**memory == **bytes, "memory lent for reading was written");
        }
        for (queue, queued) in self.queues.iter().zip(&mut self.queued) {
            queue.check().expect("a sound queue");
            assert_eq!(queue.len(), queued.len());
            assert_eq!(queue.front().is_none() && queue.back().is_none(), queued.is_empty());
            queue.iter().zip(queued).for_each(|(packet, oracle)| oracle.compare(packet, joins));
        }
        self.count();
    }

    /// Storage has as many sharers as there are segments that show it, and a pool as many mbufs as there are segments.
    fn count(&self) {
        let chains = self.chains.iter().map(|entry| on!(&entry.body, chain => chain.segments().collect()));
        let queued = self.queues.iter().flat_map(PacketQueue::iter).map(|packet| packet.segments().collect());
        let segments: Vec<Segment<'_>> = chains.chain(queued).flat_map(|all: Vec<_>| all).collect();
        let mut sharers = BTreeMap::<usize, u32>::new();
        for at in segments.iter().filter_map(|seg| self.storage(seg)) {
            *sharers.entry(at).or_default() += 1;
        }
        for seg in &segments {
            if let Some(count) = self.storage(seg).map(|at| sharers[&at]) {
                assert_eq!(seg.share_count(), count, "{seg:?}");
            }
            assert!(seg.share_count() == 1 || !seg.is_empty(), "nothing is shared for no bytes");
            assert_eq!(seg.is_writable(), seg.share_count() == 1 && !seg.is_read_only());
        }
        let held: usize = self.holds.iter().map(Hold::len).sum();
        let mbufs: usize = self.in_use().iter().map(|used| used.mbufs).sum();
        assert_eq!(mbufs, segments.len() + held);
    }

    /// The address of a segment's storage, as far as it can be told.
    fn storage(&self, seg: &Segment<'_>) -> Option<usize> {
        let at = seg.as_ptr().addr();
        match seg.storage_kind() {
            _ if seg.is_empty() => None,
            StorageKind::External => {
                self.external.iter().find(|range| range.contains(&at)).map(|range| range.start)
            }
            // These are as aligned as they are large.
            StorageKind::Cluster(class @ (Class::Cluster | Class::Page)) => Some(at & !(class.size() - 1)),
            _ => None,
        }
    }

    /// Remembers where an owner's memory is, and forgets what was there before.
    fn note_external(&mut self, packet: &Packet) {
        let bytes = packet.first_segment().bytes().as_ptr_range();
        let new = bytes.start.addr()..bytes.end.addr();
        self.external.retain(|old| old.end <= new.start || new.end <= old.start);
        self.external.push(new);
    }

    fn index(&self, who: Dial) -> Result<usize, OpError> {
        let none = BoundsError { start: 0, end: 0, available: 0 };
        if self.chains.is_empty() { Err(none.into()) } else { Ok(who.of(self.chains.len())) }
    }

    fn pool(&self, which: Dial) -> Pool {
        self.pools[which.of(2)].clone()
    }

    fn add(&mut self, entry: Entry) {
        self.chains.push(entry);
    }

    fn run(&mut self, op: Op) -> Result<(), OpError> {
        match op {
            Op::New { pool, kind, len, room } => self.new_chain(&self.pool(pool), kind, len, room),
            Op::FromSlices { pool, len, cut } => {
                let bytes = self.data(len.size());
                let (a, b) = bytes.split_at(cut.at(bytes.len()).min(bytes.len()));
                let packet = Packet::from_slices(&self.pool(pool), [a, &[], b])?;
                self.add(Entry::new(packet, bytes));
                Ok(())
            }
            Op::Reserve { pool, capacity, len } => {
                let (reserve, bytes) = self.reserve(pool, capacity)?;
                let len = len.at(bytes.len());
                let packet = reserve.into_packet(len)?;
                self.add(Entry::new(packet, bytes[..len].to_vec()));
                Ok(())
            }
            Op::AppendReserve { who, pool, capacity, len } => {
                let who = self.index(who)?;
                let (reserve, bytes) = self.reserve(pool, capacity)?;
                let len = len.at(bytes.len());
                let Entry { body, oracle } = &mut self.chains[who];
                on!(body, chain => chain.append_reserve(reserve, len)).map_err(
                    |Refused { error, input }| {
                        assert_eq!(input.capacity(), bytes.len());
                        error
                    },
                )?;
                oracle.extend(&bytes[..len]);
                Ok(())
            }
            Op::Append { who, other } => self.append(who, other, None),
            Op::Insert { who, other, at } => self.append(who, other, Some(at)),
            Op::SplitOff { .. }
            | Op::SplitTo { .. }
            | Op::Share { .. }
            | Op::ShareMut { .. }
            | Op::ShareRange { .. }
            | Op::ShareRangeMut { .. }
            | Op::Duplicate { .. }
            | Op::DuplicateWithHeadroom { .. } => self.copy(op),
            Op::IntoChain { who } => {
                let index = self.index(who)?;
                let Entry { body, mut oracle } = self.chains.remove(index);
                oracle.header = None;
                let body = match body {
                    Body::Packet(packet) => Body::Chain(packet.into_chain()),
                    body => body,
                };
                self.add(Entry { body, oracle });
                Ok(())
            }
            Op::IntoPacket { who } => {
                let index = self.index(who)?;
                let entry = self.chains.remove(index);
                let Entry { body, mut oracle } = entry;
                let (body, result) = match body {
                    Body::Chain(chain) => match chain.into_packet() {
                        Ok(packet) => {
                            oracle.header = Some(Known::default());
                            (Body::Packet(packet), Ok(()))
                        }
                        Err(Refused { error, input: chain }) => (Body::Chain(chain), Err(error)),
                    },
                    body => (body, Ok(())),
                };
                self.chains.insert(index, Entry { body, oracle });
                result
            }
            Op::CopyHeaderFrom { who, other } | Op::TakeHeaderFrom { who, other } => {
                let (to, from) = (self.index(who)?, self.index(other)?);
                if to == from {
                    return Ok(());
                }
                let [to, from] = self.chains.get_disjoint_mut([to, from]).expect("two of them");
                if let (Body::Packet(a), Body::Packet(b)) = (&mut to.body, &mut from.body) {
                    let known = from.oracle.header.clone();
                    if matches!(op, Op::TakeHeaderFrom { .. }) {
                        a.take_header_from(b);
                        from.oracle.header.as_mut().expect("a packet has a header").label = None;
                    } else {
                        a.copy_header_from(b)?;
                    }
                    to.oracle.header = known;
                }
                Ok(())
            }
            Op::PushBack { who, queue } => self.push(who, queue.of(2), true),
            Op::PushFront { who, queue } => self.push(who, queue.of(2), false),
            Op::PopFront { queue } => {
                let popped = self.queues[queue.of(2)].pop_front();
                let oracle = self.queued[queue.of(2)].pop_front();
                assert_eq!(popped.is_some(), oracle.is_some());
                if let (Some(packet), Some(oracle)) = (popped, oracle) {
                    self.add(Entry { body: Body::Packet(packet), oracle });
                }
                Ok(())
            }
            Op::AppendQueue { queue } => {
                let [a, b] = &mut self.queues;
                let (to, from) = if queue.of(2) == 0 { (a, b) } else { (b, a) };
                to.append(from);
                assert!(from.is_empty() && from.bytes() == 0);
                let [a, b] = &mut self.queued;
                let (to, from) = if queue.of(2) == 0 { (a, b) } else { (b, a) };
                to.append(from);
                self.shorten(queue.of(2));
                Ok(())
            }
            Op::Drop { who } => {
                let index = self.index(who)?;
                self.chains.remove(index);
                Ok(())
            }
            Op::DropElsewhere { who } => {
                let index = self.index(who)?;
                let body = self.chains.remove(index).body;
                std::thread::spawn(move || on!(body, chain => drop(chain))).join().expect("no panic");
                Ok(())
            }
            Op::IntoOwner { who } => self.take_owner(who),
            Op::Starve { pool, resource, left } => {
                let which = pool.of(2);
                let resource = match resource.of(3) {
                    0 => Resource::Mbuf,
                    1 => Resource::Storage(Class::Cluster),
                    _ => Resource::Storage(Class::Page),
                };
                let mut hold = Hold::all_but(&self.pools[which], resource, 0);
                for _ in 0..left.of(4) {
                    hold.relieve();
                }
                self.holds[which] = std::mem::take(&mut self.holds[which]).and(hold);
                Ok(())
            }
            Op::Relieve { pool } => {
                self.holds[pool.of(2)] = Hold::default();
                Ok(())
            }
            Op::Trim { pool } => {
                let pool = self.pool(pool);
                let used = in_use(&pool);
                pool.trim();
                assert_eq!(used, in_use(&pool));
                Ok(())
            }
            op => {
                let (who, data) = (self.subject(op)?, self.data(LONGEST));
                let used = self.in_use();
                let Entry { body, oracle } = &mut self.chains[who];
                let free = on!(body, chain => change(chain, oracle, op, &data))?;
                if free {
                    assert_eq!(used, self.in_use(), "{op:?} was to take nothing from the pool");
                }
                Ok(())
            }
        }
    }

    fn subject(&self, op: Op) -> Result<usize, OpError> {
        match op {
            Op::Prepend { who, .. }
            | Op::PrependSlice { who, .. }
            | Op::ExtendFromSlice { who, .. }
            | Op::Extend { who, .. }
            | Op::ExtendZeroed { who, .. }
            | Op::PadTo { who, .. }
            | Op::TrimFront { who, .. }
            | Op::TrimBack { who, .. }
            | Op::Truncate { who, .. }
            | Op::RemoveRange { who, .. }
            | Op::WriteAt { who, .. }
            | Op::MakeUnique { who }
            | Op::MakeUniqueRange { who, .. }
            | Op::SlicesMut { who, .. }
            | Op::MakeContiguous { who, .. }
            | Op::MakeContiguousWithHeadroom { who, .. }
            | Op::MakeContiguousAt { who, .. }
            | Op::Defragment { who }
            | Op::Collapse { who, .. }
            | Op::Shatter { who, .. }
            | Op::SetHeader { who, .. }
            | Op::SetSegment { who, .. }
            | Op::ClearFlags { who, .. }
            | Op::SetType { who, .. }
            | Op::Write { who, .. }
            | Op::Advance { who, .. }
            | Op::CopyToBytes { who, .. }
            | Op::Seek { who, .. }
            | Op::Read { who, .. } => self.index(who),
            op => unreachable!("{op:?} is not about one chain"),
        }
    }

    fn new_chain(&mut self, pool: &Pool, kind: Dial, len: Dial, room: Dial) -> Result<(), OpError> {
        let len = len.size();
        let bytes = self.data(len);
        let entry = match kind.of(12) {
            0 => Entry::new(Packet::new(pool)?, Vec::new()),
            1 => Entry::new(Chain::new(pool)?, Vec::new()),
            2 => Entry::new(Packet::with_cluster(pool)?, Vec::new()),
            3 => Entry::new(Packet::with_class(pool, Class::ALL[room.of(4)])?, Vec::new()),
            4 => Entry::new(Chain::with_class(pool, Class::ALL[room.of(4)])?, Vec::new()),
            5 => {
                let mut chain = Chain::with_headroom(pool, len, room.of(100))?;
                assert_eq!(chain.headroom(), room.of(100));
                assert!(chain.tailroom() >= len);
                chain.extend_from_slice(&bytes)?;
                assert_eq!(chain.segment_count(), 1);
                Entry::new(chain, bytes)
            }
            6 => {
                let packet = Packet::copy_with(pool, len, room.of(300), |at, place| {
                    place.copy_from_slice(&bytes[at..at + place.len()]);
                })?;
                assert!(len == 0 || packet.headroom() >= room.of(300));
                Entry::new(packet, bytes)
            }
            7 => {
                let memory: Arc<[u8]> = bytes.clone().into();
                let packet = Packet::from_owner(pool, memory.clone())?;
                self.note_external(&packet);
                self.lent.push((memory, bytes.clone()));
                Entry::new(packet, bytes)
            }
            8 | 9 => {
                let owner = Counted::new(bytes.clone(), &self.drops);
                self.owners += 1;
                let made = if kind.of(12) == 8 {
                    Packet::from_owner(pool, owner)
                } else {
                    Packet::from_owner_mut(pool, owner)
                };
                let packet = made?;
                self.note_external(&packet);
                Entry::new(packet, bytes)
            }
            10 => Entry::new(Chain::from_slice(pool, &bytes)?, bytes),
            _ => Entry::new(Packet::from_slice(pool, &bytes)?, bytes),
        };
        self.add(entry);
        Ok(())
    }

    fn append(&mut self, who: Dial, other: Dial, at: Option<Dial>) -> Result<(), OpError> {
        let from = self.index(other)?;
        if self.chains.len() < 2 {
            return Ok(());
        }
        let entry = self.chains.remove(from);
        let to = self.index(who)?;
        let target = &mut self.chains[to];
        let at = at.map(|at| at.at(target.oracle.len()));
        let (result, body) = on!(entry.body, other => match on!(&mut target.body, chain => match at {
            None => chain.append(other),
            Some(at) => chain.insert(at, other),
        }) {
            Ok(()) => (Ok(()), None),
            Err(Refused { error, input: other }) => (Err(error), Some(wrap(other))),
        });
        match body {
            None => {
                let at = at.unwrap_or(target.oracle.len());
                target.oracle.insert(at, entry.oracle);
            }
            Some(body) => self.chains.insert(from, Entry { body, oracle: entry.oracle }),
        }
        result
    }

    /// Operations that make another chain.
    fn copy(&mut self, op: Op) -> Result<(), OpError> {
        let (Op::SplitOff { who, .. }
        | Op::SplitTo { who, .. }
        | Op::Share { who }
        | Op::ShareMut { who }
        | Op::ShareRange { who, .. }
        | Op::ShareRangeMut { who, .. }
        | Op::Duplicate { who }
        | Op::DuplicateWithHeadroom { who, .. }) = op
        else {
            unreachable!("{op:?} makes no other chain")
        };
        let index = self.index(who)?;
        let Entry { body, oracle } = &mut self.chains[index];
        let len = oracle.len();
        let (body, range) = on!(body, chain => match op {
            Op::SplitOff { at, .. } => {
                let at = at.at(len);
                (wrap(chain.split_off(at)?), at..len)
            }
            Op::SplitTo { at, .. } => {
                let at = at.at(len);
                (wrap(chain.split_to(at)?), at..len)
            }
            Op::Share { .. } => (wrap(chain.share()?), 0..len),
            Op::ShareMut { .. } => (wrap(chain.share_mut()?), 0..len),
            Op::ShareRange { from, to, .. } => {
                let (from, to) = (from.at(len), to.at(len));
                (wrap(chain.share_range(from..to)?), from..to)
            }
            Op::ShareRangeMut { from, to, .. } => {
                let (from, to) = (from.at(len), to.at(len));
                (wrap(chain.share_range_mut(from..to)?), from..to)
            }
            Op::Duplicate { .. } => {
                let copy = chain.duplicate()?;
                assert!(copy.is_writable() && copy.share_count() == 1);
                (wrap(copy), 0..len)
            }
            Op::DuplicateWithHeadroom { room, .. } => {
                let copy = chain.duplicate_with_headroom(room.size())?;
                assert!(copy.is_writable() && copy.share_count() == 1);
                assert_eq!(copy.headroom(), room.size());
                (wrap(copy), 0..len)
            }
            op => unreachable!("{op:?} makes no other chain"),
        });
        let oracle = match op {
            Op::SplitOff { .. } => oracle.split_off(range.start),
            Op::SplitTo { .. } => {
                let rest = oracle.split_off(range.start);
                std::mem::replace(oracle, rest)
            }
            _ => oracle.part(range),
        };
        self.add(Entry { body, oracle });
        Ok(())
    }

    fn reserve(&mut self, pool: Dial, capacity: Dial) -> Result<(Reserve, Vec<u8>), OpError> {
        let mut reserve = Reserve::new(&self.pool(pool), capacity.size())?;
        let bytes = self.data(reserve.capacity());
        let mut rest = &bytes[..];
        for slice in reserve.slices_mut() {
            let (now, later) = rest.split_at(slice.len());
            slice.copy_from_slice(now);
            rest = later;
        }
        assert!(rest.is_empty());
        Ok((reserve, bytes))
    }

    fn push(&mut self, who: Dial, which: usize, back: bool) -> Result<(), OpError> {
        let index = self.index(who)?;
        let Entry { body, oracle } = self.chains.remove(index);
        let Body::Packet(packet) = body else {
            self.chains.insert(index, Entry { body, oracle });
            return Ok(());
        };
        let queue = &mut self.queues[which];
        let full = queue.is_full();
        if !back {
            queue.push_front(packet);
            self.queued[which].push_front(oracle);
        } else if let Err(refused) = queue.push_back(packet) {
            assert!(full);
            self.chains.insert(index, Entry { body: Body::Packet(refused.0), oracle });
        } else {
            assert!(!full);
            self.queued[which].push_back(oracle);
        }
        self.shorten(which);
        Ok(())
    }

    /// Empties a queue that has become long.
    fn shorten(&mut self, which: usize) {
        if self.queues[which].len() > 6 {
            self.queues[which].clear();
            self.queued[which].clear();
        }
    }

    fn take_owner(&mut self, who: Dial) -> Result<(), OpError> {
        let index = self.index(who)?;
        let Entry { body, oracle } = self.chains.remove(index);
        let Body::Packet(packet) = body else {
            self.chains.insert(index, Entry { body, oracle });
            return Ok(());
        };
        match packet.try_into_owner::<Counted>() {
            Ok(owner) => {
                // Its bytes are those it lent; the packet may have shown fewer.
                let bytes = &oracle.bytes;
                let found = bytes.is_empty() || owner.as_ref().windows(bytes.len()).any(|w| w == bytes);
                assert!(found, "the owner has other bytes");
                self.taken_back += 1;
            }
            Err(packet) => self.chains.insert(index, Entry { body: Body::Packet(packet), oracle }),
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last operation was {:?}", self.last);
            return;
        }
        self.check();
        self.chains.clear();
        self.queues.iter_mut().for_each(PacketQueue::clear);
        self.holds = [Hold::default(), Hold::default()];
        self.pools.iter().for_each(assert_empty);
        assert_eq!(self.drops.count(), self.owners, "every owner is dropped once");
        assert!(self.lent.iter().all(|(memory, _)| Arc::strong_count(memory) == 1));
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("chains", &self.chains.len()).finish_non_exhaustive()
    }
}

fn wrap<H: Kind>(chain: MbufChain<H>) -> Body {
    let any: Box<dyn std::any::Any> = Box::new(chain);
    match any.downcast::<Packet>() {
        Ok(packet) => Body::Packet(*packet),
        Err(any) => Body::Chain(*any.downcast().expect("packets and chains are all there is")),
    }
}
