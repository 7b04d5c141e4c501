//! Whether a goal is met.

use super::results::{Measured, Results, best, typical};
use crate::goals::{Against, Goal};
use crate::rows::Row;

/// How much the ratios of two runs may differ without meaning anything.
const NOISE: f64 = 0.03;

/// Our figure and theirs.
#[derive(Clone, Copy)]
pub struct Ratio {
    pub ours: f64,
    pub theirs: f64,
}

/// A goal, and what came out.
pub struct Verdict {
    pub all: Ratio,
    /// Of each run for itself; none for instructions.
    pub by_run: Vec<Ratio>,
    /// Built for plain x86-64.
    pub plain: Option<Ratio>,
    /// Of two threads on cores far apart.
    pub far: Option<Ratio>,
    most: f64,
}

impl Ratio {
    pub fn value(self) -> f64 {
        self.ours / self.theirs
    }
}

impl Verdict {
    /// None if one of the two was not measured.
    pub fn of(goal: &Goal, results: &Results) -> Option<Verdict> {
        let row = Row::find(goal.row).expect("a goal's row");
        // Two threads are never best at the same time: what is typical of them is compared.
        let time = if row.threads == 1 { best } else { typical };
        let compare = |column: &str, other: &str, figure: &dyn Fn(&Measured) -> Option<f64>| {
            let ours = results.find(goal.row, "ours").and_then(figure)?;
            Some(Ratio { ours, theirs: results.find(other, column).and_then(figure)? })
        };
        let (column, other) = match goal.against {
            Against::Time(column) => (column, goal.row),
            Against::OwnRow(other) => ("ours", other),
            Against::Instructions(column) => {
                let all = compare(column, goal.row, &|it| it.instructions)?;
                return Some(Verdict { all, by_run: Vec::new(), plain: None, far: None, most: goal.most });
            }
        };
        let ours = results.find(goal.row, "ours")?;
        let runs = ours.native.len();
        // If the cores were far apart through all of a run, that is what there is to compare.
        let always_far = ours.native.iter().any(Vec::is_empty);
        let times = |it: &Measured| if always_far { it.far.clone() } else { it.native.clone() };
        let of_run = |run: usize| compare(column, other, &|it| time(times(it).get(run..=run)?));
        Some(Verdict {
            all: compare(column, other, &|it| time(&times(it)))?,
            by_run: (0..runs).filter_map(of_run).collect(),
            plain: compare(column, other, &|it| time(&it.plain)),
            far: compare(column, other, &|it| time(&it.far)).filter(|_| row.threads == 2),
            most: goal.most,
        })
    }

    pub fn met(&self) -> bool {
        self.all.value() <= self.most
    }

    /// Whether no run for itself says otherwise, by more than what runs differ by.
    pub fn certain(&self) -> bool {
        self.by_run.iter().all(|run| {
            let to_goal = run.value() / self.most;
            (to_goal <= 1.0) == self.met() || (to_goal - 1.0).abs() <= NOISE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(
        row: &'static str,
        column: &'static str,
        native: [[f64; 2]; 2],
        instructions: f64,
    ) -> Measured {
        let native = native.map(Vec::from).into();
        Measured { row, column, native, plain: Vec::new(), far: Vec::new(), instructions: Some(instructions) }
    }

    fn verdict(row: &'static str, against: Against, most: f64) -> Verdict {
        let measured = vec![
            measured("share 1500 B + free", "ours", [[2.0, 3.0], [4.0, 3.5]], 50.0),
            measured("share 1500 B + free", "dpdk", [[4.0, 9.0], [6.0, 5.0]], 100.0),
            measured("alloc+free, two threads", "ours", [[2.0, 4.0], [6.0, 7.0]], 0.0),
        ];
        let results = Results { measured, ..Results::default() };
        Verdict::of(&Goal { row, against, most }, &results).unwrap()
    }

    #[test]
    fn one_thread_is_compared_by_the_best_of_all_runs() {
        let verdict = verdict("share 1500 B + free", Against::Time("dpdk"), 0.5);
        assert_eq!(verdict.all.value(), 0.5);
        assert!(verdict.met());
        // The second run has 3.5 to 5.
        assert!(!verdict.certain());
    }

    #[test]
    fn a_run_at_the_goal_does_not_disagree() {
        let runs = |ratios: [f64; 2]| Verdict {
            all: Ratio { ours: 0.5, theirs: 1.0 },
            by_run: ratios.map(|ours| Ratio { ours, theirs: 1.0 }).into(),
            plain: None,
            far: None,
            most: 0.5,
        };
        assert!(runs([0.49, 0.514]).certain());
        assert!(!runs([0.49, 0.516]).certain());
    }

    #[test]
    fn two_threads_are_compared_by_the_mean_of_medians() {
        let verdict = verdict("alloc+free, two threads", Against::OwnRow("share 1500 B + free"), 1.0);
        assert_eq!((verdict.all.ours, verdict.all.theirs), (5.5, 3.5));
        assert!(!verdict.met() && verdict.certain());
    }

    #[test]
    fn far_cores_are_judged_only_if_a_run_found_no_near_ones() {
        let row = "alloc+free, two threads";
        let of = |column, native: [Vec<f64>; 2]| Measured {
            far: vec![vec![8.0], vec![8.0]],
            native: native.into(),
            ..measured(row, column, [[0.0; 2]; 2], 0.0)
        };
        let ratio = |second: Vec<f64>| {
            let measured = vec![of("ours", [vec![2.0], second]), of("dpdk", [vec![4.0], vec![4.0]])];
            let results = Results { measured, ..Results::default() };
            Verdict::of(&Goal { row, against: Against::Time("dpdk"), most: 0.5 }, &results)
                .unwrap()
                .all
                .value()
        };
        assert_eq!(ratio(vec![2.0]), 0.5);
        assert_eq!(ratio(Vec::new()), 1.0);
    }

    #[test]
    fn instructions_are_the_same_in_each_run() {
        let verdict = verdict("share 1500 B + free", Against::Instructions("dpdk"), 0.36);
        assert_eq!(verdict.all.value(), 0.5);
        assert!(!verdict.met() && verdict.certain());
    }
}
