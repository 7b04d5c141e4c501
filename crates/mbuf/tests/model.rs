//! Random operations on many packets that share storage, compared with plain vectors after every step.
//!
//! `MBUF_TEST_FACTOR` multiplies the number of cases.

use mbuf_testkit::{Op, Rng, World, scaled};
use proptest::collection::vec;
use proptest::prelude::*;

fn play(ops: &[Op]) -> (usize, usize) {
    let mut world = World::new();
    world.play(ops.iter().copied());
    (world.succeeded, world.starved)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scaled(200, 2) as u32,
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn operations_do_to_chains_what_they_do_to_vectors(words in vec(any::<[u16; 4]>(), 1..if cfg!(miri) { 20 } else { 120 })) {
        let ops: Vec<Op> = words.into_iter().map(Op::from_words).collect();
        play(&ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scaled(40, 1) as u32,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_allocation_of_a_sequence_may_fail(words in vec(any::<[u16; 4]>(), 1..if cfg!(miri) { 4 } else { 24 })) {
        let ops: Vec<Op> = words.into_iter().map(Op::from_words).collect();
        World::with_every_failure(&ops);
    }
}

#[test]
fn the_sequences_that_fail_in_turn_allocate() {
    // Packets of all kinds, shared, split and written to.
    let codes: &[u16] = if cfg!(miri) { &[0, 2, 22] } else { &[0, 2, 0, 22, 20, 28, 26, 12, 6] };
    let ops: Vec<Op> = codes.iter().map(|&code| Op::from_words([code, 0, 71, 9])).collect();
    assert!(World::with_every_failure(&ops) > if cfg!(miri) { 1 } else { 5 });
}

#[test]
fn long_lives_end_with_empty_pools() {
    let (mut succeeded, mut starved) = (0, 0);
    for seed in 0..scaled(8, 1) as u64 {
        let mut rng = Rng::new(seed);
        let ops: Vec<Op> = (0..scaled(1000, 30))
            .map(|_| {
                let word = rng.word().to_le_bytes();
                Op::from_words([0, 2, 4, 6].map(|i| u16::from_le_bytes([word[i], word[i + 1]])))
            })
            .collect();
        let (ok, dry) = play(&ops);
        succeeded += ok;
        starved += dry;
    }
    // The pools are so small that both happen all the time: a run in which one did not would have tested little.
    if !cfg!(miri) {
        assert!(starved * 50 > succeeded && succeeded > starved, "{succeeded} succeeded, {starved} starved");
    }
}
