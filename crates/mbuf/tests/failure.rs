//! Every operation with every allocation that it makes failed in turn.
//!
//! `for_every_failure` checks that a failure changes nothing, down to the address of every byte, and that the same
//! operation succeeds afterwards. Here: that there is something to fail, and what.

use std::cell::RefCell;

use mbuf::{
    AllocCause, AllocError, Bare, Chain, Class, Header, MbufChain, OpError, Packet, PacketQueue, Pool,
    Refused, Reserve, Resource,
};
use mbuf_testkit::{
    Built, Failures, Kind, Observe, Refusing, Shape, Storage, assert_empty, for_every_failure, in_use,
};

/// Chains on which most operations have to allocate.
fn shapes() -> Vec<Shape> {
    let shared = Storage::Shared(Class::Cluster);
    let own = Storage::Own(Class::Cluster);
    if cfg!(miri) {
        return vec![Shape::of([(20, Storage::Inline), (160, Storage::Inline), (700, shared)]).flush()];
    }
    vec![
        Shape::single(60, Storage::Inline).flush(),
        Shape::single(700, shared),
        Shape::single(700, Storage::ReadOnly),
        Shape::of([
            (20, Storage::Inline),
            (160, Storage::Inline),
            (2000, shared),
            (300, Storage::SharedReadOnly),
        ])
        .flush(),
        Shape::of([(1000, own), (1000, Storage::Copy(Class::Page)), (1, shared), (3000, Storage::ReadOnly)])
            .flush(),
    ]
}

/// Runs an operation on all shapes as packet and as chain. It has to fail at least `least` times in all.
fn fails<R, Q, E: std::fmt::Debug>(
    least: usize,
    mut packets: impl FnMut(&mut MbufChain<Header>) -> Result<R, E>,
    mut chains: impl FnMut(&mut MbufChain<Bare>) -> Result<Q, E>,
) -> Failures {
    let mut sum = Failures::default();
    let mut add = |failures: Failures| {
        sum.mbufs += failures.mbufs;
        sum.storage += failures.storage;
        sum.pages += failures.pages;
    };
    for shape in shapes() {
        add(for_every_failure(
            |pool| shape.build::<Header>(pool),
            |_, built| {
                let result = packets(&mut built.chain);
                Built::check_header(&built.chain);
                result
            },
        ));
        add(for_every_failure(|pool| shape.build::<Bare>(pool), |_, built| chains(&mut built.chain)));
    }
    if !cfg!(miri) {
        assert!(sum.mbufs + sum.storage >= least, "{sum:?}");
        assert!(sum.pages > 0, "{sum:?}");
    }
    sum
}

/// The same for both kinds.
macro_rules! op {
    ($($name:ident ($least:expr): |$chain:ident| $e:expr;)*) => {$(
        #[test]
        fn $name() {
            fails($least, |$chain| $e, |$chain| $e);
        }
    )*};
}

op! {
    a_failed_prepend(30): |c| c.prepend(2100).map(|bytes| bytes.fill(1));
    a_failed_prepend_of_little(10): |c| c.prepend_slice(&[7; 90]);
    a_failed_extend(30): |c| c.extend(2100).map(|bytes| bytes.fill(1));
    a_failed_extend_from_slice(30): |c| c.extend_from_slice(&[7; 9000]);
    a_failed_extend_zeroed(30): |c| c.extend_zeroed(9000);
    a_failed_pad(30): |c| { let len = c.len(); c.pad_to(len + 9000) };
    a_failed_pullup(8): |c| c.make_contiguous(c.len().min(2100)).map(drop_ref);
    a_failed_pullup_with_headroom(20): |c| c.make_contiguous_with_headroom(50, 4100).map(drop_ref);
    a_failed_pulldown(4): |c| c.make_contiguous_at(10..c.len() - 10).map(drop_ref);
    a_failed_split(10): |c| c.split_off(c.len() - 5);
    a_failed_split_at_the_start(10): |c| c.split_off(0);
    a_failed_split_at_the_end(10): |c| c.split_off(c.len());
    a_failed_split_to_in_the_middle(10): |c| c.split_to(c.len() - 5);
    a_failed_split_to_the_start(10): |c| c.split_to(0);
    a_failed_split_to_the_end(10): |c| c.split_to(c.len());
    a_failed_removal(8): |c| if c.len() > 40 { c.remove_range(10..c.len() - 10) } else { Ok(()) };
    a_failed_share(20): |c| c.share();
    a_failed_share_of_a_range(20): |c| c.share_range(5..c.len() - 5);
    a_failed_share_by_one_owner(20): |c| c.share_mut();
    a_failed_share_of_a_range_by_one_owner(20): |c| c.share_range_mut(5..c.len() - 5);
    a_failed_share_of_nothing(10): |c| c.share_range(3..3);
    a_failed_duplicate(20): |c| c.duplicate();
    a_failed_duplicate_with_headroom(20): |c| c.duplicate_with_headroom(9000);
    a_failed_write(16): |c| c.write_at(3, &[9; 50]);
    a_failed_write_that_extends(40): |c| c.write_at(c.len() - 30, &[9; 6000]);
    a_failed_write_beyond_the_end(30): |c| c.write_at(c.len() + 4000, &[9; 600]);
    a_failed_unsharing(16): |c| c.make_unique();
    a_failed_unsharing_of_a_range(8): |c| c.make_unique_range(c.len() - 20..);
    a_failed_defragmentation(8): |c| c.defragment();
    a_failed_collapse(8): |c| c.collapse(2);
    a_failed_collapse_to_one(8): |c| c.collapse(1);
    a_failed_shattering(40): |c| { let piece = c.len() / 6 + 1; c.shatter(std::iter::repeat(piece)) };
}

fn drop_ref(_: &[u8]) {}

/// A chain, and another one that an operation takes over and gives back.
fn with_other<H: Kind, K: Kind>(
    op: impl Fn(&mut MbufChain<H>, MbufChain<K>) -> Result<(), Refused<MbufChain<K>>>,
) -> usize {
    let mut failed = 0;
    for shape in shapes() {
        for other in shapes() {
            let setup = |pool: &Pool| {
                let mut other = other.build::<K>(pool);
                let chain = std::mem::replace(&mut other.chain, MbufChain::new(pool).unwrap());
                (shape.build::<H>(pool), (other, Some(chain)))
            };
            let failures = for_every_failure(setup, |_, (built, (_, other))| {
                let Some(taken) = other.take() else { return Ok(()) };
                op(&mut built.chain, taken).map_err(|Refused { error, input }| {
                    *other = Some(input);
                    error
                })
            });
            failed += failures.total();
        }
    }
    failed
}

#[test]
fn a_failed_insertion_gives_the_other_chain_back() {
    assert!(with_other::<Header, Header>(|c, other| c.insert(30, other)) > 0);
    assert!(with_other::<Header, Bare>(|c, other| c.insert(0, other)) > 0);
    assert!(with_other::<Bare, Header>(|c, other| c.insert(c.len() - 7, other)) > 0);
}

#[test]
fn appending_never_fails_for_want_of_memory() {
    assert_eq!(with_other::<Header, Header>(|c, other| c.append(other)), 0);
    assert_eq!(with_other::<Header, Bare>(|c, other| c.append(other)), 0);
    assert_eq!(with_other::<Bare, Header>(|c, other| c.append(other)), 0);
}

#[test]
fn trimming_walking_and_queueing_never_need_memory() {
    for shape in shapes() {
        let failures = for_every_failure(
            |pool| shape.build::<Header>(pool),
            |_, built| {
                let packet = &mut built.chain;
                let mut queue = PacketQueue::new();
                packet.trim_front(25).unwrap();
                packet.trim_back(25).unwrap();
                packet.truncate(packet.len() / 2);
                packet.read_at(0, &mut [0; 3]).unwrap();
                packet.sum(..).unwrap();
                let taken = packet.split_off(usize::MAX);
                assert!(taken.is_err());
                let _ = packet.slices_mut(..).unwrap().map(Iterator::count);
                queue.clear();
                Ok::<(), OpError>(())
            },
        );
        assert_eq!(failures.total(), 0);
    }
}

#[test]
fn a_failed_promotion_gives_the_chain_back() {
    // Inline data in the way of a header.
    let shape = Shape::of([(180, Storage::Inline), (50, Storage::Inline)]);
    let failures = for_every_failure(
        |pool| (Some(shape.build::<Bare>(pool).chain), None::<Packet>),
        |_, (chain, packet)| match chain.take() {
            None => Ok(()),
            Some(taken) => match taken.into_packet() {
                Ok(made) => {
                    *packet = Some(made);
                    Ok(())
                }
                Err(Refused { error, input }) => {
                    *chain = Some(input);
                    Err(error)
                }
            },
        },
    );
    // Once with and once without pages.
    let expected = if cfg!(miri) { 1 } else { 2 };
    assert_eq!((failures.mbufs, failures.storage), (expected, 0));
}

#[test]
fn failed_constructors_keep_nothing() {
    let bytes = vec![5u8; 15_000];
    type Make = fn(&Pool, &[u8]) -> Result<Packet, OpError>;
    let makers: [(Make, usize); 12] = [
        (|pool, _| Ok(Packet::new(pool)?), 1),
        (|pool, _| Ok(Packet::with_cluster(pool)?), 2),
        (|pool, _| Ok(Packet::with_class(pool, Class::Jumbo9)?), 2),
        (|pool, _| Packet::with_capacity(pool, 4000), 2),
        (|pool, _| Packet::with_headroom(pool, 4000, 9000), 2),
        (|pool, bytes| Packet::from_slice(pool, bytes), 4),
        (|pool, bytes| Packet::from_slice(pool, &bytes[..9000]), 1),
        (|pool, bytes| Packet::from_slices(pool, [bytes, bytes]), 6),
        (|pool, bytes| Packet::from_slice_with_headroom(pool, bytes, 5000), 4),
        (|pool, bytes| Packet::copy_with(pool, bytes.len(), 5000, |_, place| place.fill(1)), 4),
        (|pool, bytes| Packet::from_trailer(pool, bytes, 3000), 4),
        (|pool, bytes| Reserve::new(pool, bytes.len())?.into_packet(100).map_err(OpError::from), 4),
    ];
    for (make, least) in makers {
        let failures = for_every_failure(|_| (), |pool, ()| make(pool, &bytes));
        assert!(cfg!(miri) || failures.mbufs + failures.storage >= least, "{failures:?}");
        assert!(failures.pages > 0);
    }
    let failures = for_every_failure(|_| (), |pool, ()| Chain::from_slice(pool, &bytes));
    assert!(failures.total() > 2);
}

#[test]
fn a_failed_external_packet_gives_the_owner_back() {
    let failures = for_every_failure(
        |_| (),
        |pool, ()| {
            Packet::from_owner(pool, vec![1, 2, 3]).map_err(|refused| {
                assert_eq!(refused.input, [1, 2, 3]);
                refused.error
            })
        },
    );
    assert!(failures.mbufs > 0 && failures.pages >= 2, "the mbuf and the record: {failures:?}");
    let failures = for_every_failure(|_| (), |pool, ()| Packet::from_owner_mut(pool, [9u8; 64]));
    assert!(failures.pages >= 2);
}

#[test]
fn a_failed_extension_by_a_reserve_gives_it_back() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 100]).unwrap();
    let reserve = Reserve::new(&pool, 50).unwrap();
    let capacity = reserve.capacity();
    let refused = packet.append_reserve(reserve, capacity + 1).unwrap_err();
    assert!(matches!(refused.error, OpError::Bounds(_)));
    assert_eq!(refused.input.capacity(), capacity);
    packet.append_reserve(refused.input, 7).unwrap();
    assert_eq!(packet.len(), 107);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn errors_name_what_ran_out() {
    let seen = RefCell::new(Vec::new());
    for_every_failure(
        |_| (),
        |pool, ()| {
            Packet::with_class(pool, Class::Cluster).inspect_err(|&AllocError { resource, cause, .. }| {
                seen.borrow_mut().push((resource, cause == AllocCause::Fault));
            })
        },
    );
    let seen = seen.into_inner();
    for expected in [
        (Resource::Mbuf, true),
        (Resource::Storage(Class::Cluster), true),
        (Resource::Mbuf, false),
        (Resource::Storage(Class::Cluster), false),
    ] {
        assert!(seen.contains(&expected), "{expected:?} is not among {seen:?}");
    }
}

#[test]
fn failures_are_counted_by_operation() {
    let pool = Pool::builder().mbufs(8).clusters(4).jumbo_pages(1).build().unwrap();
    let mut packet = Packet::from_slice(&pool, &[1; 300]).unwrap();
    packet.shatter([100, 100, 100]).unwrap();
    let hold = mbuf_testkit::Hold::all_but(&pool, Resource::Mbuf, 0);
    let before = pool.stats().ops;
    assert!(packet.share().is_err() && packet.duplicate().is_err());
    assert!(packet.prepend(300).is_err());
    assert!(packet.make_contiguous(250).is_err());
    assert!(packet.defragment().is_err());
    let after = pool.stats().ops;
    assert_eq!(after.copy_failures, before.copy_failures + 1);
    assert_eq!(after.duplicate_failures, before.duplicate_failures + 1);
    assert_eq!(after.prepend_failures, before.prepend_failures + 1);
    assert_eq!(after.pullup_failures, before.pullup_failures + 1);
    assert_eq!(after.defrag_failures, before.defrag_failures + 1);
    assert_eq!((after.prepends, after.pullups), (before.prepends, before.pullups));
    drop(hold);
    packet.make_contiguous(250).unwrap();
    packet.prepend(300).unwrap();
    let after = pool.stats().ops;
    assert_eq!((after.prepends, after.pullups), (before.prepends + 1, before.pullups + 1));
    assert_eq!(packet.observe().len(), 1);
    drop(packet);
    assert_empty(&pool);
}

/// As if memory were short, but after all of it was had: a tag does not let the packet be copied.
#[test]
fn an_operation_that_a_tag_refuses_gives_back_what_it_took() {
    type Copying = fn(&mut Packet, usize) -> Result<Packet, OpError>;
    let copying: [(&str, Copying); 7] = [
        ("share", |packet, _| packet.share()),
        ("share_mut", |packet, _| packet.share_mut()),
        ("share_range", |packet, at| packet.share_range(at / 2..at)),
        ("duplicate", |packet, _| packet.duplicate()),
        ("duplicate_with_headroom", |packet, at| packet.duplicate_with_headroom(at)),
        ("split_off", |packet, at| packet.split_off(at)),
        ("split_to", |packet, at| packet.split_to(at)),
    ];
    for shape in shapes() {
        let pool = Pool::new();
        let mut built = shape.build::<Header>(&pool);
        built.chain.set_tag(Refusing);
        let (before, used, len) = (built.observe(), in_use(&pool), built.chain.len());
        for at in [0, 1, 20, 21, len / 2, len - 1, len] {
            for (name, copy) in copying {
                assert_eq!(copy(&mut built.chain, at.min(len)).err(), Some(OpError::Tag), "{name} at {at}");
                assert_eq!((&built.observe(), in_use(&pool)), (&before, used), "{name} at {at}");
            }
        }
        drop(built);
        assert_empty(&pool);
    }
}
