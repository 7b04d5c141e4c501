//! Random operations on many packets that share storage, beside plain vectors of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use mbuf::{
    BoundsError, Chain, Class, Flags, Head, MbufChain, Meta, OpError, Packet, PacketQueue, Pool, Reserve,
    Resource,
};

use crate::{
    Counted, Dial, Drops, Hold, InUse, Kind, Label, Op, Rng, Snapshot, assert_empty, in_use, pattern,
};

/// Chains that are alive at once, at most.
const CHAINS: usize = 10;
/// Bytes that a chain may grow to before it is cut.
const LONGEST: usize = 40_000;

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

/// What a packet header should say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    meta: Meta,
    label: Option<Label>,
    flags: Flags,
}

/// A chain and its oracle: plain bytes that nobody shares, so a write to one chain can show in no other.
struct Entry {
    body: Body,
    bytes: Vec<u8>,
    header: Option<Known>,
}

impl Entry {
    fn packet(packet: Packet, bytes: Vec<u8>) -> Self {
        Entry { body: Body::Packet(packet), bytes, header: Some(Known::default()) }
    }

    fn chain(chain: Chain, bytes: Vec<u8>) -> Self {
        Entry { body: Body::Chain(chain), bytes, header: None }
    }

    fn snapshot(&self) -> Snapshot {
        on!(&self.body, chain => Snapshot::of(chain))
    }

    fn check(&self) {
        on!(&self.body, chain => {
            assert_eq!(chain.check(), Ok(()));
            assert_eq!(chain.len(), self.bytes.len());
            assert!(*chain == self.bytes, "{chain:?} should be {:02x?}", self.bytes);
        });
        if let (Body::Packet(packet), Some(known)) = (&self.body, &self.header) {
            assert_eq!(packet.meta(), &known.meta);
            assert_eq!(packet.tag(), known.label.as_ref());
            assert!(
                packet.flags().contains(known.flags),
                "{:?} lacks some of {:?}",
                packet.flags(),
                known.flags
            );
        }
    }
}

/// Two pools, chains that share storage across them, a queue, and what all of it should be.
///
/// [`apply`](Self::apply) runs an operation on the real thing and on the oracle; after each, every chain alive is
/// compared with its bytes, and a failed operation must have left everything as it was. Dropping the world checks
/// that the pools are empty and that every owner of external memory was dropped once.
pub struct World {
    pools: [Pool; 2],
    holds: [Hold; 2],
    chains: Vec<Entry>,
    queue: PacketQueue,
    queued: VecDeque<Entry>,
    owners: usize,
    taken_back: usize,
    drops: Drops,
    /// Memory lent for reading, and what it must be for ever.
    lent: Vec<(Arc<[u8]>, Vec<u8>)>,
    stamp: u8,
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
            builder.jumbo_pages(20).jumbo_9k(6).jumbo_16k(6).build().expect("good settings")
        };
        World {
            pools: [pool("one", 64, 400, 60), pool("two", 0, 150, 25)],
            holds: [Hold::default(), Hold::default()],
            chains: Vec::new(),
            queue: PacketQueue::with_limit(4),
            queued: VecDeque::new(),
            owners: 0,
            taken_back: 0,
            drops: Drops::new(),
            lent: Vec::new(),
            stamp: 0,
            last: None,
            starved: 0,
            succeeded: 0,
        }
    }

    fn in_use(&self) -> [InUse; 2] {
        [in_use(&self.pools[0]), in_use(&self.pools[1])]
    }

    /// Fresh bytes, other ones each time.
    fn data(&mut self, len: usize) -> Vec<u8> {
        self.stamp = self.stamp.wrapping_add(41);
        (0..len).map(|i| pattern(i) ^ self.stamp).collect()
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
            if entry.bytes.len() > LONGEST {
                on!(&mut entry.body, chain => chain.truncate(LONGEST / 4));
                entry.bytes.truncate(LONGEST / 4);
            }
        }
        self.check();
    }

    /// Compares everything that is alive with what it should be.
    pub fn check(&self) {
        self.chains.iter().for_each(Entry::check);
        for (memory, bytes) in &self.lent {
            assert!(**memory == **bytes, "memory lent for reading was written");
        }
        self.queue.check().expect("a sound queue");
        assert_eq!(self.queue.len(), self.queued.len());
        for (packet, entry) in self.queue.iter().zip(&self.queued) {
            assert!(*packet == entry.bytes, "a packet in the queue changed");
        }
    }

    fn index(&self, who: Dial) -> Result<usize, OpError> {
        let none = BoundsError { offset: 0, len: 0, available: 0 };
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
                self.add(Entry::packet(packet, bytes));
                Ok(())
            }
            Op::Reserve { pool, capacity, len } => {
                let mut reserve = Reserve::new(&self.pool(pool), capacity.size())?;
                let bytes = self.data(reserve.capacity());
                let mut rest = &bytes[..];
                for slice in reserve.slices_mut() {
                    let (now, later) = rest.split_at(slice.len());
                    slice.copy_from_slice(now);
                    rest = later;
                }
                let len = len.at(bytes.len());
                let packet = reserve.into_packet(len)?;
                self.add(Entry::packet(packet, bytes[..len].to_vec()));
                Ok(())
            }
            Op::Append { who, other } => self.append(who, other, None),
            Op::Insert { who, other, at } => self.append(who, other, Some(at)),
            Op::SplitOff { .. }
            | Op::Share { .. }
            | Op::ShareRange { .. }
            | Op::Duplicate { .. }
            | Op::DuplicateWithHeadroom { .. } => self.copy(op),
            Op::IntoChain { who } => {
                let index = self.index(who)?;
                let entry = self.chains.remove(index);
                self.add(match entry.body {
                    Body::Packet(packet) => Entry::chain(packet.into_chain(), entry.bytes),
                    body => Entry { body, ..entry },
                });
                Ok(())
            }
            Op::IntoPacket { who } => {
                let index = self.index(who)?;
                let entry = self.chains.remove(index);
                let (entry, result) = match entry.body {
                    Body::Chain(chain) => match chain.into_packet() {
                        Ok(packet) => (Entry::packet(packet, entry.bytes), Ok(())),
                        Err(mbuf::Refused { error, input: chain }) => {
                            (Entry::chain(chain, entry.bytes), Err(error))
                        }
                    },
                    body => (Entry { body, ..entry }, Ok(())),
                };
                self.chains.insert(index, entry);
                result
            }
            Op::CopyHeaderFrom { who, other } | Op::TakeHeaderFrom { who, other } => {
                let (to, from) = (self.index(who)?, self.index(other)?);
                if to == from {
                    return Ok(());
                }
                let [to, from] = self.chains.get_disjoint_mut([to, from]).expect("two of them");
                if let (Body::Packet(a), Body::Packet(b)) = (&mut to.body, &mut from.body) {
                    let known = from.header.clone().expect("a packet has a header");
                    if matches!(op, Op::TakeHeaderFrom { .. }) {
                        a.take_header_from(b);
                        from.header.as_mut().expect("a packet has a header").label = None;
                    } else {
                        a.copy_header_from(b)?;
                    }
                    to.header = Some(known);
                }
                Ok(())
            }
            Op::PushBack { who } | Op::PushFront { who } => self.push(who, matches!(op, Op::PushBack { .. })),
            Op::PopFront => {
                let popped = self.queue.pop_front();
                assert_eq!(popped.is_some(), !self.queued.is_empty());
                if let (Some(packet), Some(entry)) = (popped, self.queued.pop_front()) {
                    let entry = Entry { body: Body::Packet(packet), ..entry };
                    self.add(entry);
                }
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
                let Entry { body, bytes, header } = &mut self.chains[who];
                let free = on!(body, chain => change(chain, bytes, header.as_mut(), op, &data))?;
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
            | Op::Read { who, .. } => self.index(who),
            op => unreachable!("{op:?} is not about one chain"),
        }
    }

    fn new_chain(&mut self, pool: &Pool, kind: Dial, len: Dial, room: Dial) -> Result<(), OpError> {
        let len = len.size();
        let bytes = self.data(len);
        let entry = match kind.of(12) {
            0 => Entry::packet(Packet::new(pool)?, Vec::new()),
            1 => Entry::chain(Chain::new(pool)?, Vec::new()),
            2 => Entry::packet(Packet::with_cluster(pool)?, Vec::new()),
            3 => Entry::packet(Packet::with_class(pool, Class::ALL[room.of(4)])?, Vec::new()),
            4 => Entry::chain(Chain::with_class(pool, Class::ALL[room.of(4)])?, Vec::new()),
            5 => {
                let mut chain = Chain::with_headroom(pool, len, room.of(100))?;
                assert_eq!(chain.headroom(), room.of(100));
                assert!(chain.tailroom() >= len);
                chain.extend_from_slice(&bytes)?;
                assert_eq!(chain.segment_count(), 1);
                Entry::chain(chain, bytes)
            }
            6 => {
                let packet = Packet::copy_with(pool, len, room.of(300), |at, place| {
                    place.copy_from_slice(&bytes[at..at + place.len()]);
                })?;
                assert!(len == 0 || packet.headroom() >= room.of(300));
                Entry::packet(packet, bytes)
            }
            7 => {
                let memory: Arc<[u8]> = bytes.clone().into();
                let packet = Packet::from_owner(pool, memory.clone())?;
                self.lent.push((memory, bytes.clone()));
                Entry::packet(packet, bytes)
            }
            8 | 9 => {
                let owner = Counted::new(bytes.clone(), &self.drops);
                self.owners += 1;
                let made = if kind.of(12) == 8 {
                    Packet::from_owner(pool, owner)
                } else {
                    Packet::from_owner_mut(pool, owner)
                };
                Entry::packet(made?, bytes)
            }
            10 => Entry::chain(Chain::from_slice(pool, &bytes)?, bytes),
            _ => Entry::packet(Packet::from_slice(pool, &bytes)?, bytes),
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
        let at = at.map(|at| at.at(target.bytes.len()));
        let (result, body) = on!(entry.body, other => match on!(&mut target.body, chain => match at {
            None => chain.append(other),
            Some(at) => chain.insert(at, other),
        }) {
            Ok(()) => (Ok(()), None),
            Err(mbuf::Refused { error, input: other }) => (Err(error), Some(wrap(other))),
        });
        match body {
            None => {
                let at = at.unwrap_or(target.bytes.len());
                target.bytes.splice(at..at, entry.bytes);
            }
            Some(body) => self.chains.insert(from, Entry { body, bytes: entry.bytes, header: entry.header }),
        }
        result
    }

    /// Operations that make another chain.
    fn copy(&mut self, op: Op) -> Result<(), OpError> {
        let (Op::SplitOff { who, .. }
        | Op::Share { who }
        | Op::ShareRange { who, .. }
        | Op::Duplicate { who }
        | Op::DuplicateWithHeadroom { who, .. }) = op
        else {
            unreachable!("{op:?} makes no other chain")
        };
        let index = self.index(who)?;
        let Entry { body, bytes, header } = &mut self.chains[index];
        let len = bytes.len();
        let (body, range) = on!(body, chain => match op {
            Op::SplitOff { at, .. } => {
                let at = at.at(len);
                (wrap(chain.split_off(at)?), at..len)
            }
            Op::Share { .. } => (wrap(chain.share()?), 0..len),
            Op::ShareRange { from, to, .. } => {
                let (from, to) = (from.at(len), to.at(len));
                (wrap(chain.share_range(from..to)?), from..to)
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
        let copy = Entry { body, bytes: bytes[range.clone()].to_vec(), header: header.clone() };
        if let Op::SplitOff { .. } = op {
            bytes.truncate(range.start);
        }
        self.add(copy);
        Ok(())
    }

    fn push(&mut self, who: Dial, back: bool) -> Result<(), OpError> {
        let index = self.index(who)?;
        let Entry { body, bytes, header } = self.chains.remove(index);
        let Body::Packet(packet) = body else {
            self.chains.insert(index, Entry { body, bytes, header });
            return Ok(());
        };
        // The queue has the packet; what is left here is only to compare with.
        let husk = |bytes, header| Entry {
            body: Body::Chain(Chain::new(&Pool::new()).expect("memory")),
            bytes,
            header,
        };
        if !back {
            self.queue.push_front(packet);
            self.queued.push_front(husk(bytes, header));
            if self.queued.len() > 6 {
                self.queue.clear();
                self.queued.clear();
            }
            return Ok(());
        }
        let full = self.queue.is_full();
        match self.queue.push_back(packet) {
            Ok(()) => {
                assert!(!full);
                self.queued.push_back(husk(bytes, header));
            }
            Err(refused) => {
                assert!(full);
                self.chains.insert(index, Entry { body: Body::Packet(refused.0), bytes, header });
            }
        }
        Ok(())
    }

    fn take_owner(&mut self, who: Dial) -> Result<(), OpError> {
        let index = self.index(who)?;
        let Entry { body, bytes, header } = self.chains.remove(index);
        let Body::Packet(packet) = body else {
            self.chains.insert(index, Entry { body, bytes, header });
            return Ok(());
        };
        match packet.try_into_owner::<Counted>() {
            Ok(owner) => {
                // Its bytes are those it lent; the packet may have shown fewer.
                let found = bytes.is_empty() || owner.as_ref().windows(bytes.len()).any(|w| w == bytes);
                assert!(found, "the owner has other bytes");
                self.taken_back += 1;
            }
            Err(packet) => self.chains.insert(index, Entry { body: Body::Packet(packet), bytes, header }),
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
        self.queue.clear();
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

/// An operation on one chain and on its oracle. Returns whether it was to take nothing from the pool, and did.
fn change<H: Kind>(
    chain: &mut MbufChain<H>,
    bytes: &mut Vec<u8>,
    header: Option<&mut Known>,
    op: Op,
    data: &[u8],
) -> Result<bool, OpError> {
    let len = bytes.len();
    let segments = chain.segment_count();
    match op {
        Op::Prepend { len: n, .. } | Op::PrependSlice { len: n, .. } => {
            let data = &data[..n.size()];
            let free = data.len() <= chain.headroom();
            if matches!(op, Op::Prepend { .. }) {
                let place = chain.prepend(data.len());
                assert!(!free || place.is_ok(), "there was headroom");
                place?.copy_from_slice(data);
            } else {
                chain.prepend_slice(data)?;
            }
            assert!(!free || chain.segment_count() == segments);
            bytes.splice(0..0, data.iter().copied());
            Ok(free)
        }
        Op::ExtendFromSlice { len: n, .. } | Op::Extend { len: n, .. } | Op::ExtendZeroed { len: n, .. } => {
            let zeros = vec![0; n.size()];
            let data = if matches!(op, Op::ExtendZeroed { .. }) { &zeros[..] } else { &data[..n.size()] };
            let free = data.len() <= chain.tailroom();
            match op {
                Op::ExtendFromSlice { .. } => chain.extend_from_slice(data)?,
                Op::ExtendZeroed { .. } => chain.extend_zeroed(data.len())?,
                _ => {
                    let place = chain.extend(data.len());
                    assert!(!free || place.is_ok(), "there was tailroom");
                    place?.copy_from_slice(data);
                }
            }
            assert!(!free || chain.segment_count() == segments);
            bytes.extend_from_slice(data);
            Ok(free)
        }
        Op::PadTo { len: n, .. } => {
            chain.pad_to(n.size())?;
            bytes.resize(len.max(n.size()), 0);
            Ok(len >= n.size())
        }
        Op::TrimFront { len: n, .. } => {
            chain.trim_front(n.at(len))?;
            bytes.drain(..n.at(len));
            Ok(false)
        }
        Op::TrimBack { len: n, .. } => {
            chain.trim_back(n.at(len))?;
            bytes.truncate(len - n.at(len));
            Ok(false)
        }
        Op::Truncate { len: n, .. } => {
            chain.truncate(n.at(len));
            bytes.truncate(n.at(len));
            Ok(false)
        }
        Op::RemoveRange { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            chain.remove_range(range.clone())?;
            bytes.drain(range);
            Ok(false)
        }
        Op::WriteAt { at, len: n, .. } => {
            // Not so far beyond the end that only memory would decide.
            let at = at.at(len);
            let data = &data[..n.size()];
            if at > len + 10_000 && at < usize::MAX - 3 {
                return Ok(false);
            }
            let end = at.checked_add(data.len());
            let free = chain.is_writable() && end.is_some_and(|end| end <= len);
            chain.write_at(at, data)?;
            let end = end.expect("it would have failed");
            bytes.resize(len.max(end), 0);
            bytes[at..end].copy_from_slice(data);
            Ok(free)
        }
        Op::MakeUnique { .. } => {
            let free = chain.is_writable();
            chain.make_unique()?;
            assert!(chain.is_writable());
            Ok(free)
        }
        Op::MakeUniqueRange { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let free = chain.is_writable() || range.is_empty();
            chain.make_unique_range(range.clone())?;
            assert!(chain.slices_mut(range)?.is_some(), "the range is not writable");
            Ok(free)
        }
        Op::SlicesMut { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let Some(slices) = chain.slices_mut(range.clone())? else { return Ok(true) };
            let mut rest = &data[..range.len()];
            for slice in slices {
                assert!(!slice.is_empty());
                let (now, later) = rest.split_at(slice.len());
                slice.copy_from_slice(now);
                rest = later;
            }
            assert!(rest.is_empty());
            let range_len = range.len();
            bytes[range].copy_from_slice(&data[..range_len]);
            Ok(true)
        }
        Op::MakeContiguous { len: n, .. } => {
            let n = n.at(len);
            let free = n <= chain.first_segment().len();
            assert_eq!(chain.make_contiguous(n)?, &bytes[..n]);
            assert!(chain.first_segment().len() >= n);
            Ok(free)
        }
        Op::MakeContiguousWithHeadroom { len: n, room, .. } => {
            let (n, room) = (n.at(len), room.size());
            assert_eq!(chain.make_contiguous_with_headroom(n, room)?, &bytes[..n]);
            assert!(chain.headroom() >= room);
            Ok(false)
        }
        Op::MakeContiguousAt { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let free = chain.contiguous(range.clone()).is_some();
            assert_eq!(chain.make_contiguous_at(range.clone())?, &bytes[range.clone()]);
            assert_eq!(chain.contiguous(range.clone()), Some(&bytes[range]));
            Ok(free)
        }
        Op::Defragment { .. } => {
            chain.defragment()?;
            let fewest = if len <= H::INLINE { 1 } else { len.div_ceil(4096) };
            // Two clusters stand in for a page when there is none.
            assert!(chain.segment_count() <= fewest.max(len.div_ceil(2048 - 64)), "{chain:?}");
            Ok(false)
        }
        Op::Collapse { max, .. } => {
            let max = max.of(6);
            chain.collapse(max)?;
            assert!(chain.segment_count() <= max);
            Ok(segments <= max)
        }
        Op::Shatter { seed, .. } => {
            let mut rng = Rng::new(u64::from(seed.0));
            let most = if len > 1000 { 900 } else { 40 };
            chain.shatter(std::iter::from_fn(|| Some(rng.between(0, most))))?;
            Ok(false)
        }
        Op::SetHeader { value, .. } => {
            if let Some(known) = header {
                let value = u32::from(value.0);
                let meta = Meta { interface: value, timestamp: u64::from(value) << 20, ..Meta::EMPTY };
                let flags = if value % 2 == 0 { Flags::BROADCAST } else { Flags::MULTICAST };
                H::set_header(chain, meta, Label(value), flags);
                *known = Known { meta, label: Some(Label(value)), flags };
            }
            Ok(true)
        }
        Op::Read { from, to, .. } => {
            let (from, to) = (from.at(len), to.at(len));
            read(chain, bytes, from, to)?;
            Ok(true)
        }
        op => unreachable!("{op:?} is not about one chain"),
    }
}

/// Every way to read a range gives the same bytes.
fn read<H: Head>(chain: &MbufChain<H>, bytes: &[u8], from: usize, to: usize) -> Result<(), OpError> {
    let len = bytes.len();
    assert_eq!(chain.is_empty(), bytes.is_empty());
    assert_eq!(chain.segments().map(|seg| seg.len()).sum::<usize>(), len);
    match chain.locate(from) {
        None => assert!(from > len),
        Some((segment, within)) => {
            let before: usize = chain.segments().take(segment).map(|seg| seg.len()).sum();
            assert_eq!(before + within, from);
        }
    }
    let slices: Vec<&[u8]> = chain.slices(from..to)?.collect();
    let expected = &bytes[from..to];
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    assert_eq!(slices.concat(), expected);
    assert_eq!(chain.range_eq(from..to, expected), Ok(true));
    let mut out = vec![0; to - from];
    chain.read_at(from, &mut out)?;
    assert_eq!(out, expected);
    assert_eq!(chain.sum(from..to)?, mbuf::checksum::sum(expected));
    assert!(chain.find_bytes(0, expected).is_some_and(|at| at <= from));
    let contiguous = chain.contiguous(from..to);
    assert!(contiguous.is_none_or(|slice| slice == expected));
    assert_eq!(contiguous.is_some(), slices.len() < 2);
    Ok(())
}
