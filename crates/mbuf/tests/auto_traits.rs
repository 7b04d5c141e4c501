//! What may cross threads.

use mbuf::{Chain, Packet, PacketQueue, Pool, PoolStats, Reader, Reserve, Segment, SegmentMut};

#[test]
fn public_types_may_cross_threads_and_the_cache_may_not() {
    fn both<T: Send + Sync>() {}
    both::<Packet>();
    both::<Chain>();
    both::<PacketQueue>();
    both::<Pool>();
    both::<Reserve>();
    both::<Segment<'static>>();
    both::<SegmentMut<'static>>();
    both::<Reader<'static>>();
    both::<PoolStats>();
}
