//! The packet header: metadata, flags, types, tags; taking it off and putting it on.

use mbuf::{Bare, Chain, Class, Flags, Header, MHLEN, MLEN, MbufType, Meta, OpError, Packet, Pool, Tag};
use mbuf_testkit::{
    Built, Drops, Label, PanicTag, Private, Refusing, Shape, Sticky, Storage, assert_empty, each_shape,
    scaled,
};

#[test]
fn a_new_packet_has_empty_metadata_whatever_its_mbuf_was_before() {
    let pool = Pool::new();
    for _ in 0..3 {
        for make in [|pool: &Pool| Packet::new(pool), |pool: &Pool| Packet::with_cluster(pool)] {
            let mut packet = make(&pool).unwrap();
            assert_eq!(packet.meta(), &Meta::EMPTY);
            assert_eq!(packet.meta(), &Meta::default());
            assert_eq!((packet.len(), packet.flags(), packet.mbuf_type()), (0, Flags(0), MbufType::Data));
            assert_eq!(packet.tags().count(), 0);
            *packet.meta_mut() = Built::<Header>::META;
            packet.set_tag(Label(9));
            packet.set_flags(Flags(0xffff));
            packet.set_type(MbufType::Control);
            packet.extend_from_slice(b"old").unwrap();
        }
    }
    assert_empty(&pool);
}

#[test]
fn a_packet_becomes_a_chain_and_a_packet_again() {
    each_shape::<Header>(|built| {
        let pool = built.pool.clone();
        let packet = std::mem::replace(&mut built.chain, Packet::new(&pool).unwrap());
        let chain = packet.into_chain();
        assert_eq!(chain.check(), Ok(()));
        assert_eq!(chain, built.bytes);
        let packet = chain.into_packet().unwrap();
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, built.bytes);
        assert_eq!(packet.len(), built.bytes.len());
        assert_eq!((packet.meta(), packet.tags().count()), (&Meta::EMPTY, 0));
    });
    each_shape::<Bare>(|built| {
        let pool = built.pool.clone();
        let chain = std::mem::replace(&mut built.chain, Chain::new(&pool).unwrap());
        let segments = chain.segment_count();
        let packet = chain.into_packet().unwrap();
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, built.bytes);
        assert!(packet.segment_count() <= segments + 1);
    });
}

#[test]
fn a_chain_that_finds_no_room_for_a_header_comes_back() {
    let pool = Pool::builder().mbufs(1).build().unwrap();
    let mut chain = Chain::with_headroom(&pool, MLEN, 0).unwrap();
    chain.extend_from_slice(&[7; MLEN]).unwrap();
    let mbuf = chain.first_segment().as_ptr();
    let refused = chain.into_packet().unwrap_err();
    assert!(matches!(refused.error, OpError::Alloc(_)), "{refused}");
    let chain = refused.input;
    assert_eq!((chain.check(), chain.first_segment().as_ptr()), (Ok(()), mbuf));
    assert_eq!(chain, [7; MLEN]);
    drop(chain);
    assert_empty(&pool);
}

#[test]
fn inline_data_in_the_way_of_a_header_moves() {
    let pool = Pool::new();
    for n in [0, 1, MHLEN - 1, MHLEN, MHLEN + 1, MLEN] {
        for headroom in [0, 7, 79, 80, MLEN - n] {
            let headroom = headroom.min(MLEN - n);
            let mut chain = Chain::with_headroom(&pool, n, headroom).unwrap();
            chain.extend_from_slice(&vec![9; n]).unwrap();
            let packet = chain.into_packet().unwrap();
            assert_eq!(packet.check(), Ok(()));
            assert_eq!(packet, vec![9; n]);
            assert_eq!(packet.segment_count(), if n > MHLEN { 2 } else { 1 });
        }
    }
    assert_empty(&pool);
}

#[test]
fn flags_of_a_packet_stay_with_it_and_the_end_of_a_record_with_its_segment() {
    let pool = Pool::new();
    let shape = Shape::of([(14, Storage::Inline), (20, Storage::ReadOnly), (150, Storage::Inline)]);
    let flags = Flags::BROADCAST.with(Flags::protocol(3));
    let build = || {
        let mut built = shape.build::<Header>(&pool);
        built.chain.set_flags(flags);
        built
    };
    let mut built = build();
    built.chain.trim_front(14).unwrap();
    assert_eq!(built.chain.flags(), flags);
    built.chain.trim_front(20).unwrap();
    assert_eq!(built.chain.flags(), flags);
    built = build();
    built.chain.prepend(200).unwrap();
    assert_eq!(built.chain.flags(), flags);
    let tail = built.chain.split_off(214).unwrap();
    assert_eq!((built.chain.flags(), tail.flags()), (flags, flags));
    assert_eq!(tail.share_range(20..).unwrap().flags(), flags);
    assert_eq!(tail.share_range(3..3).unwrap().flags(), flags);
    built = build();
    let end = Flags::END_OF_RECORD;
    built.chain.set_flags(flags.with(end));
    built.chain.prepend(200).unwrap();
    assert_eq!(built.chain.flags(), flags);
    let second = built.chain.segments().nth(1).unwrap().flags();
    assert!(second.contains(end), "the record ends where it did");
    built.chain.clear_flags(Flags::PROTOCOL);
    assert_eq!(built.chain.flags(), Flags::BROADCAST);
    drop((built, tail));
    assert_empty(&pool);
}

#[test]
fn flags_can_be_put_together_and_taken_apart() {
    let all = (0..=10).map(Flags::protocol).fold(Flags(0), Flags::with);
    assert_eq!(all, Flags::PROTOCOL);
    assert!(all.contains(Flags::protocol(10)) && !all.contains(Flags::VLAN_TAG));
    assert_eq!(all.without(Flags::PROTOCOL), Flags(0));
    assert!(std::panic::catch_unwind(|| Flags::protocol(11)).is_err());
}

#[test]
fn a_type_is_that_of_every_segment_and_goes_with_copies() {
    let pool = Pool::new();
    let mut built =
        Shape::of([(10, Storage::Inline), (300, Storage::Own(Class::Cluster))]).build::<Header>(&pool);
    let kinds =
        [MbufType::Data, MbufType::Header, MbufType::SocketName, MbufType::Control, MbufType::OutOfBand];
    for kind in kinds {
        built.chain.set_type(kind);
        assert!(built.chain.segments().all(|seg| seg.mbuf_type() == kind));
        assert_eq!(built.chain.share().unwrap().mbuf_type(), kind);
        assert_eq!(built.chain.duplicate().unwrap().mbuf_type(), kind);
    }
    built.chain.segments_mut().next().unwrap().set_type(MbufType::Data);
    assert_eq!(built.chain.mbuf_type(), MbufType::Data);
    assert_eq!(built.chain.last_segment().mbuf_type(), MbufType::OutOfBand);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn there_is_one_tag_of_each_type_the_last_attached_first() {
    let pool = Pool::new();
    let mut packet = Packet::new(&pool).unwrap();
    assert_eq!(packet.set_tag(Label(1)), None);
    assert_eq!(packet.set_tag(Private(2)), None);
    assert_eq!(packet.set_tag(Label(3)), Some(Label(1)));
    assert_eq!(packet.tags().count(), 2);
    assert_eq!((packet.tag(), packet.tag()), (Some(&Label(3)), Some(&Private(2))));
    assert_eq!(packet.remove_tag(), Some(Private(2)));
    assert_eq!(packet.remove_tag::<Private>(), None);
    assert_eq!(packet.tags().count(), 1);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn persistent_tags_survive_clearing_and_all_go_with_the_packet() {
    let pool = Pool::new();
    let drops = Drops::new();
    let mut packet = Packet::from_slice(&pool, b"data").unwrap();
    packet.clear_tags();
    assert_eq!(packet.tags().count(), 0);
    packet.set_tag(Sticky(drops.clone()));
    packet.set_tag(Label(1));
    packet.clear_tags();
    assert!(packet.tag::<Label>().is_none() && packet.tag::<Sticky>().is_some());
    let copy = packet.share().unwrap();
    assert_eq!(drops.count(), 0);
    drop(packet);
    assert_eq!(drops.count(), 1);
    let chain = copy.into_chain();
    assert_eq!(drops.count(), 2, "a header that is dropped takes its tags along");
    drop(chain);
    assert_empty(&pool);
}

#[test]
fn any_number_of_tags_is_dropped_without_recursion() {
    let pool = Pool::new();
    let mut packet = Packet::new(&pool).unwrap();
    let many = scaled(200_000, 50);
    for n in 0..many {
        packet.push_tag(Label(n as u32));
    }
    assert_eq!(packet.tags_of::<Label>().count(), many);
    drop(packet);
    assert_empty(&pool);
}

#[test]
fn what_a_copy_carries_of_a_tag_can_be_printed() {
    let copies = [Label(1).copy(), Private(1).copy(), Refusing.copy()];
    assert_eq!(copies.map(|copy| format!("{copy:?}")), ["With(..)", "Without", "Refuse"]);
}

#[test]
fn tags_are_dropped_once_whatever_becomes_of_the_packet() {
    let pool = Pool::new();
    let mut made = 0;
    let drops = Drops::new();
    for n in [10usize, 300, 9000] {
        let mut packet = |pool: &Pool| {
            made += 1;
            let mut packet = Packet::from_slice(pool, &vec![1; n]).unwrap();
            packet.set_tag(Sticky(drops.clone()));
            packet
        };
        // Appended, its header goes; prepended to and trimmed, it moves.
        let mut a = packet(&pool);
        a.append(packet(&pool)).unwrap();
        a.prepend(2000).unwrap();
        a.trim_front(2001).unwrap();
        a.make_contiguous(n.min(9000)).unwrap();
        a.defragment().unwrap();
        let mut b = packet(&pool);
        a.take_header_from(&mut b);
        assert!(b.tag::<Sticky>().is_none() && a.tag::<Sticky>().is_some());
    }
    assert_empty(&pool);
    assert_eq!(drops.count(), made);
}

#[test]
fn headers_are_copied_and_moved_between_packets() {
    let pool = Pool::new();
    let mut from = Shape::of([(10, Storage::Inline), (20, Storage::ReadOnly)]).build::<Header>(&pool);
    let mut to = Packet::from_slice(&pool, &[7; 500]).unwrap();
    to.set_tag(Private(1));
    to.set_type(Built::<Header>::TYPE);
    to.copy_header_from(&from.chain).unwrap();
    Built::check_header(&to);
    assert!(to.tag::<Private>().is_none(), "its own tags are replaced");
    assert_eq!((to.len(), from.chain.len()), (500, 30));
    from.chain.set_tag(Refusing);
    let mut other = Packet::from_slice(&pool, &[7; 50]).unwrap();
    other.set_tag(Private(1));
    assert_eq!(other.copy_header_from(&from.chain), Err(OpError::Tag));
    assert_eq!(other.copy_tags(&from.chain), Err(OpError::Tag));
    assert_eq!((other.tag(), other.meta()), (Some(&Private(1)), &Meta::EMPTY));
    other.set_type(Built::<Header>::TYPE);
    other.take_header_from(&mut from.chain);
    Built::check_header(&other);
    assert_eq!((from.chain.tags().count(), from.chain.len()), (0, 30));
    assert_eq!(other.check(), Ok(()));
    from.check();
    drop((from, to, other));
    assert_empty(&pool);
}

#[test]
fn many_tags_are_kept_copied_and_dropped_without_recursion() {
    let count = scaled(200_000, 100) as u32;
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 1000]).unwrap();
    for n in 0..count {
        packet.push_tag(Label(n));
    }
    let copy = packet.share().unwrap();
    assert!(copy.tags_of::<Label>().map(|label| label.0).eq((0..count).rev()));
    assert_eq!(packet.remove_tag(), Some(Label(count - 1)));
    assert_eq!(packet.set_tag(Label(7)), Some(Label(count - 2)));
    assert_eq!((packet.tag(), packet.tags().count()), (Some(&Label(7)), count as usize - 1));
    drop((packet, copy));
    assert_empty(&pool);
}

#[test]
fn a_tag_that_panics_takes_nothing_else_with_it() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 9000]).unwrap();
    let drops = Drops::new();
    packet.set_tag(Sticky(drops.clone()));
    packet.set_tag(PanicTag);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(packet)));
    assert!(result.is_err());
    assert_eq!(drops.count(), 1);
    assert_empty(&pool);
}
