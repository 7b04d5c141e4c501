//! The Internet checksum over segments of any length.

use mbuf::checksum::{self, Sum};
use mbuf_testkit::{both_kinds, each_range};

/// The definition (RFC 1071), word by word.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

both_kinds! {
    fn the_sum_of_a_range_does_not_depend_on_segments<H>() {
        each_range::<H>(|built, range| {
            match built.bytes.get(range.clone()) {
                None => assert!(built.chain.sum(range).is_err()),
                Some(bytes) => {
                    assert_eq!(built.chain.sum(range).unwrap().value(), naive(bytes));
                    assert_eq!(checksum::sum(bytes).value(), naive(bytes));
                }
            }
        });
    }

    fn the_sum_is_that_of_its_parts<H>() {
        each_range::<H>(|built, range| {
            let len = built.bytes.len();
            if range.end > len || range.start > range.end {
                return;
            }
            let (a, b) = (built.chain.sum(..range.start).unwrap(), built.chain.sum(range.start..).unwrap());
            let b = if range.start % 2 == 1 { b.swapped() } else { b };
            assert_eq!(a + b, built.chain.sum(..).unwrap());
            let mut sum = a;
            sum += b;
            assert_eq!(sum, a + b);
            assert_eq!(built.chain.sum(..).unwrap() - b, a);
        });
    }
}

#[test]
fn a_field_that_holds_the_checksum_makes_the_data_valid() {
    let pool = mbuf::Pool::new();
    let mut packet =
        mbuf::Packet::from_slice(&pool, &[0x45, 0, 0, 20, 9, 9, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
            .unwrap();
    packet.shatter([1, 2, 3, 5, 7]).unwrap();
    let sum = packet.sum(..).unwrap().finish();
    packet.write_at(10, &sum.to_be_bytes()).unwrap();
    assert!(packet.sum(..).unwrap().is_valid());
    // One hop.
    packet.write_at(8, &[63]).unwrap();
    assert!(!packet.sum(..).unwrap().is_valid());
    let updated = checksum::update(sum, 64 << 8 | 17, 63 << 8 | 17);
    packet.write_at(10, &updated.to_be_bytes()).unwrap();
    assert!(packet.sum(..).unwrap().is_valid());
    assert_eq!(Sum::of_u32(0xffff_ffff), Sum::ZERO);
    assert_eq!(Sum::of_word(0xffff).finish_udp(), 0xffff);
    assert_eq!(Sum::of_word(0x1234).finish_udp(), Sum::of_word(0x1234).finish());
}
