//! Pools on 4 KiB pages and on huge ones: what a visit to packets at random costs.

use std::hint::black_box;

use mbuf::{Mmap, Packet, Pool};

use crate::Settings;
use crate::plot::{Line, Plot};
use crate::report::{Section, both, number, power};
use crate::sample::{Random, Samples};
use crate::system::{faults, pin, resident, time};

struct Had {
    /// Of what the pool took, the part in huge pages.
    huge: f64,
    faults: f64,
    fill: f64,
    headers: Samples,
    clusters: Samples,
    recycled: Samples,
}

fn had(source: Mmap, n: usize, rounds: usize) -> Had {
    let (faults_before, before) = (faults(), resident());
    let pool = Pool::builder().pages(source).build().expect("these settings fit");
    let mut packets = Vec::with_capacity(n);
    let fill = time(|| {
        for _ in 0..n {
            let mut packet = Packet::with_cluster(&pool).expect("there is memory");
            packet.extend_from_slice(&[1]).expect("a cluster has room");
            packets.push(packet);
        }
    });
    let (faults, after) = (faults() - faults_before, resident());
    let mut random = Random::new(3);
    random.shuffle(&mut packets);
    const VISITS: usize = 1 << 15;
    // One after the other in random order, over as many as there are: the list itself is read in order.
    let mut at = 0;
    let mut visit = |look: &mut dyn FnMut(&mut Packet)| {
        let from = at;
        at = (at + VISITS) % n.max(VISITS);
        time(|| (from..from + VISITS).for_each(|i| look(&mut packets[i % n]))) / VISITS as f64
    };
    let headers = Samples::of(rounds * 8, || visit(&mut |packet| _ = black_box(packet.is_writable())));
    let clusters =
        Samples::of(rounds * 8, || visit(&mut |packet| _ = black_box(packet.first_segment().bytes()[0])));
    let recycled = Samples::of(rounds * 8, || {
        visit(&mut |packet| {
            *packet = Packet::with_cluster(&pool).expect("there is memory");
            packet.extend_from_slice(&[1]).expect("a cluster has room");
        })
    });
    let bytes = after.0.saturating_sub(before.0).max(1);
    Had {
        huge: after.1.saturating_sub(before.1) as f64 / bytes as f64,
        faults: faults as f64 / n as f64,
        fill: fill / n as f64,
        headers,
        clusters,
        recycled,
    }
}

pub fn measure(settings: &Settings) -> Section {
    pin(0);
    let mut section = Section::default();
    let sources = [("4 KiB", Mmap::new()), ("huge", Mmap::huge())];
    let mut lines: Vec<Line> =
        ["4 KiB: headers", "huge: headers", "4 KiB: header and cluster", "huge: header and cluster"]
            .map(|name| Line { name: name.into(), points: Vec::new() })
            .into();
    let mut rows = Vec::new();
    for exponent in (10..=settings.largest.min(20)).step_by(2) {
        for (i, (name, source)) in sources.into_iter().enumerate() {
            let had = had(source, 1 << exponent, settings.rounds);
            let x = f64::from(1 << exponent);
            lines[i].points.push((x, had.headers.median()));
            lines[i + 2].points.push((x, had.clusters.median()));
            rows.push(vec![
                power(exponent),
                name.to_string(),
                format!("{:.0} %", had.huge * 100.0),
                format!("{:.3}", had.faults),
                number(had.fill),
                both(&had.headers),
                both(&had.clusters),
                both(&had.recycled),
            ]);
        }
    }
    section.say("ns per packet (best / median; filling once):");
    let head = [
        "packets",
        "pages",
        "in huge pages",
        "faults per packet, filling",
        "filling",
        "visit the header",
        "header and first line of the cluster",
        "allocate, write a byte, free another",
    ];
    section.table(&head, rows);
    section.plots.push(Plot {
        name: "pages",
        title: "visits to packets in random order",
        x: "packets in the pool",
        y: "ns per packet, median",
        lines,
    });
    section
}
