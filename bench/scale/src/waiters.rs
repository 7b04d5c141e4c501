//! Threads that wait for buffers at a limit well below what they want.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use mbuf::{Packet, Pool, Wait};

use crate::Settings;
use crate::report::{Section, number};
use crate::sample::Samples;

/// What is done with a buffer before it is freed.
#[derive(Clone, Copy)]
enum Hold {
    Busy(Duration),
    Asleep(Duration),
}

impl Hold {
    fn spend(self) {
        match self {
            Hold::Asleep(time) => std::thread::sleep(time),
            Hold::Busy(time) => {
                let start = Instant::now();
                while start.elapsed() < time {
                    std::hint::spin_loop();
                }
            }
        }
    }

    fn describe(self) -> String {
        match self {
            Hold::Busy(time) => format!("busy for {} µs", time.as_micros()),
            Hold::Asleep(time) => format!("asleep for {} µs", time.as_micros()),
        }
    }
}

const HOLDS: [Hold; 2] = [Hold::Busy(Duration::from_micros(5)), Hold::Asleep(Duration::from_micros(200))];

/// One request: when it came among all, when it was served among all, and how long it waited.
struct Served {
    came: usize,
    served: usize,
    waited: Duration,
}

fn contend(threads: usize, limit: usize, hold: Hold, time: Duration) -> Vec<Vec<Served>> {
    let pool = Pool::builder().clusters(limit).build().expect("these settings fit");
    let (coming, serving) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (pool, coming, serving) = (&pool, &coming, &serving);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let spawn = |_| {
            scope.spawn(move || {
                let mut all = Vec::new();
                while Instant::now() < end {
                    let came = coming.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    let packet = pool.wait(Wait::Forever, || Packet::with_cluster(pool));
                    let waited = start.elapsed();
                    let served = serving.fetch_add(1, Ordering::SeqCst);
                    all.push(Served { came, served, waited });
                    hold.spend();
                    drop(packet.expect("it waits for ever"));
                }
                all
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().map(|handle| handle.join().expect("no thread panics")).collect()
    })
}

fn shares_of(all: &[Vec<Served>]) -> Vec<f64> {
    all.iter().map(|of| of.len() as f64).collect()
}

/// Jain's index of fairness: 1 if all have the same, 1/n if one has everything.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|it| it * it).sum::<f64>())
}

/// The share of requests before which one was served that came later, and by how many requests at most.
fn overtaken(all: &[Vec<Served>]) -> (f64, usize) {
    let mut order: Vec<_> = all.iter().flatten().map(|it| (it.served, it.came)).collect();
    order.sort_unstable();
    let (mut last, mut overtaken, mut most) = (0, 0, 0);
    for (_, came) in &order {
        last = last.max(*came);
        overtaken += usize::from(*came < last);
        most = most.max(last - came);
    }
    (overtaken as f64 / order.len() as f64, most)
}

/// Futures join the queue when they are first polled, so here it is known in which order they came. Returns how many
/// there were, and whether they were served in that order.
fn order_of_futures() -> (usize, bool) {
    const LIMIT: usize = 8;
    const WAITERS: usize = 512;
    let pool = Pool::builder().clusters(LIMIT).build().expect("these settings fit");
    let mut taken: Vec<Packet> =
        (0..LIMIT).map(|_| Packet::with_cluster(&pool).expect("within the limit")).collect();
    let future = |_| Some(Box::pin(pool.wait_async(|| Packet::with_cluster(&pool))));
    let mut waiters: Vec<Option<Pin<Box<_>>>> = (0..WAITERS).map(future).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = |i: usize, waiters: &mut Vec<Option<Pin<Box<_>>>>| {
        let future: &mut Option<Pin<Box<mbuf::WaitFuture<_, _>>>> = &mut waiters[i];
        let ready = future.as_mut().map(|it| Future::poll(it.as_mut(), &mut context));
        let Some(std::task::Poll::Ready(result)) = ready else { return None };
        *future = None;
        Some(result.expect("it waits for ever"))
    };
    for i in 0..WAITERS {
        assert!(poll(i, &mut waiters).is_none(), "everything is in use");
    }
    let mut served = Vec::new();
    while served.len() < WAITERS {
        // As many as are free, and the last of those who wait is asked first.
        taken.clear();
        for i in (0..WAITERS).rev() {
            if let Some(packet) = poll(i, &mut waiters) {
                served.push(i);
                taken.push(packet);
            }
        }
    }
    (WAITERS, served.is_sorted())
}

pub fn measure(settings: &Settings) -> Section {
    let mut section = Section::default();
    let time = Duration::from_millis(200);
    let mut rows = Vec::new();
    for hold in HOLDS {
        for (threads, limit) in [(4, 2), (8, 2), (8, 4), (16, 2), (16, 4)] {
            let (mut waits, mut fair, mut rate) =
                (Samples::default(), Samples::default(), Samples::default());
            let (mut late, mut most, mut alone) = (Samples::default(), 0, Samples::default());
            for _ in 0..settings.rounds {
                let all = contend(threads, limit, hold, time);
                all.iter().flatten().for_each(|it| waits.add(it.waited.as_nanos() as f64 / 1000.0));
                let shares = shares_of(&all);
                fair.add(jain(&shares));
                alone.add(jain(&shares_of(&contend(threads, threads, hold, time))));
                rate.add(shares.iter().sum::<f64>() / time.as_secs_f64() / 1000.0);
                let (share, by) = overtaken(&all);
                late.add(share * 100.0);
                most = most.max(by);
            }
            rows.push(vec![
                hold.describe(),
                threads.to_string(),
                limit.to_string(),
                number(waits.median()),
                number(waits.at(0.99)),
                number(waits.max()),
                format!("{:.3} / {:.3}", fair.best(), fair.median()),
                format!("{:.3} / {:.3}", alone.best(), alone.median()),
                number(rate.median()),
                format!("{} %", number(late.median())),
                most.to_string(),
            ]);
        }
    }
    section.say("Waiting times in µs; Jain's index of the threads' shares, worst and median of the rounds.");
    let head = [
        "buffers are held",
        "threads",
        "limit",
        "median",
        "99 %",
        "longest",
        "Jain's index",
        "without a limit",
        "served, 1000/s",
        "overtaken",
        "by at most",
    ];
    section.table(&head, rows);
    let (n, in_order) = order_of_futures();
    section.say(format!(
        "{n} futures (`wait_async`) for 8 buffers, polled from the last to the first: served {}.",
        if in_order { "in the order in which they came" } else { "**out of order**" },
    ));
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jain_knows_fair_from_unfair() {
        assert_eq!(jain(&[3.0, 3.0, 3.0]), 1.0);
        assert_eq!(jain(&[9.0, 0.0, 0.0]), 1.0 / 3.0);
    }

    #[test]
    fn overtaking_is_seen() {
        let served = |came, served| Served { came, served, waited: Duration::ZERO };
        assert_eq!(overtaken(&[vec![served(0, 0), served(1, 1)], vec![served(2, 2)]]), (0.0, 0));
        let all = [vec![served(0, 2), served(1, 1)], vec![served(2, 0), served(3, 3)]];
        assert_eq!(overtaken(&all), (0.5, 2));
    }

    #[test]
    fn futures_are_served_in_order() {
        assert!(order_of_futures().1);
    }
}
