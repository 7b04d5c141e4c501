//! Running a test over all shapes.

use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mbuf::Pool;

use crate::{Built, Kind, Rng, Shape, assert_empty, shapes};

/// Lengths that shapes are made for, and how many random segmentations of each.
const LENGTHS: &[(usize, usize)] = if cfg!(miri) {
    &[(0, 0), (3, 0), (300, 0)]
} else {
    &[(0, 0), (1, 0), (2, 0), (5, 0), (300, 3), (5000, 1)]
};

/// Under Miri, where a case takes a thousand times as long, one of so many is run: not the same ones in each test.
struct Sample {
    next: usize,
    one_in: usize,
}

impl Sample {
    const SHAPES: usize = 29;
    const PLACES: usize = 97;

    /// Begins somewhere else for each test, which its thread is named after.
    fn new(one_in: usize) -> Self {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().bytes();
        let next = name.fold(0, |sum: usize, byte| (sum * 31 + usize::from(byte)) % one_in);
        Sample { next, one_in: if cfg!(miri) { one_in } else { 1 } }
    }

    fn has_next(&mut self) -> bool {
        self.next += 1;
        self.next.is_multiple_of(self.one_in)
    }
}

/// Runs a test on chains of every shape. Afterwards the chain is sound, those that share its storage see what they
/// saw before, and nothing is left in the pool.
pub fn each_shape<H: Kind>(mut test: impl FnMut(&mut Built<H>)) {
    each(Sample::SHAPES, |shape| vec![shape.total()], |built: &mut Built<H>, _| test(built));
}

/// As [`each_shape`], for offsets in each shape: both ends, all near the border of a segment, and two beyond the end.
pub fn each_offset<H: Kind>(test: impl FnMut(&mut Built<H>, usize)) {
    each(Sample::PLACES, offsets, test);
}

/// As [`each_shape`], for ranges in each shape: empty ones, all, many between borders of segments, and some beyond.
pub fn each_range<H: Kind>(test: impl FnMut(&mut Built<H>, Range<usize>)) {
    each(Sample::PLACES, ranges, test);
}

fn each<H: Kind, C: Clone + Debug>(
    one_in: usize,
    cases: impl Fn(&Shape) -> Vec<C>,
    mut test: impl FnMut(&mut Built<H>, C),
) {
    let pool = Pool::new();
    let (mut sample, mut ran) = (Sample::new(one_in), 0);
    for &(len, random) in LENGTHS {
        for shape in shapes(len, random, 1) {
            for case in cases(&shape) {
                if !sample.has_next() {
                    continue;
                }
                ran += 1;
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let mut built = shape.build::<H>(&pool);
                    test(&mut built, case.clone());
                    assert_eq!(built.chain.check(), Ok(()));
                    built.check_sharers();
                    drop(built);
                    // Under Miri, where a look at all of a pool takes a second, once in the end.
                    if !cfg!(miri) {
                        assert_empty(&pool);
                    }
                }));
                if let Err(panic) = result {
                    eprintln!("in the case {case:?} of {shape:?}");
                    resume_unwind(panic);
                }
            }
        }
    }
    assert!(ran > 0, "there are fewer cases than one in {one_in}");
    assert_empty(&pool);
}

fn borders(shape: &Shape) -> Vec<usize> {
    let mut at = 0;
    let mut near = vec![0, 1];
    for &(n, _) in &shape.segments {
        at += n;
        near.extend([at.saturating_sub(1), at, at + 1]);
    }
    near.retain(|&near| near <= at);
    near.sort_unstable();
    near.dedup();
    near
}

fn offsets(shape: &Shape) -> Vec<usize> {
    let mut all = borders(shape);
    all.extend([shape.total() + 1, usize::MAX]);
    all
}

fn ranges(shape: &Shape) -> Vec<Range<usize>> {
    let (len, near) = (shape.total(), borders(shape));
    let mut all = vec![0..0, 0..len, len..len, len / 2..len / 2, len..len + 1, 0..usize::MAX];
    all.extend([usize::MAX..usize::MAX, usize::MAX - 1..usize::MAX]);
    #[allow(clippy::reversed_empty_ranges)]
    all.push(1..0);
    let mut rng = Rng::new(len as u64);
    for _ in 0..if cfg!(miri) { 3 } else { 12 } {
        let (a, b) = (rng.pick(&near), rng.pick(&near));
        all.push(a.min(b)..a.max(b));
    }
    all
}
