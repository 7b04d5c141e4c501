//! Snapshots as JSON and as Prometheus text say what the snapshot says, and can be read back.
#![cfg(all(feature = "serde", feature = "prometheus"))]

use std::collections::BTreeMap;

use mbuf::{Exposition, MbufType, Packet, Pool, PoolStats};
use mbuf_testkit::{Label, assert_empty};
use prometheus_parse::{Scrape, Value};

/// A pool in which something happened, while some of it is in use.
fn worked(name: &str, check: impl FnOnce(PoolStats)) {
    let pool = Pool::builder().name(name).clusters(2).budget(1 << 30).build().unwrap();
    let held = [(); 2].map(|()| Packet::with_cluster(&pool).unwrap());
    Packet::with_cluster(&pool).unwrap_err();
    let mut packet = Packet::from_slice(&pool, b"abc").unwrap();
    packet.set_type(MbufType::Control);
    packet.set_tag(Label(1));
    packet.prepend(100).unwrap();
    check(pool.stats());
    drop((held, packet));
    assert_empty(&pool);
}

#[test]
fn json_is_read_back_as_the_same_snapshot() {
    worked("js\"on\n", |stats| {
        let text = serde_json::to_string(&stats).unwrap();
        assert_eq!(serde_json::from_str::<PoolStats>(&text).unwrap(), stats);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["clusters"]["current"], 2);
        assert_eq!(value["clusters"]["limit"], 2);
        assert_eq!(value["mbufs"]["limit"], serde_json::Value::Null);
        assert_eq!(value["types"]["control"], stats.types.control);
        assert_eq!(value["ops"]["prepends"], 1);
    });
}

#[test]
fn json_of_other_versions_is_read_as_far_as_it_goes_and_no_further() {
    let read = |text: &str| serde_json::from_str::<PoolStats>(text);
    let stats = read(r#"{"name":"old","clusters":{"current":3,"new":true},"newer":{"x":1}}"#).unwrap();
    assert_eq!((stats.name.as_str(), stats.clusters.current, stats.mbufs.current), ("old", 3, 0));
    for garbage in ["", "{", "[1", "7", r#"{"clusters":{"current":-1}}"#, r#"{"ops":{"pullups":"many"}}"#] {
        assert!(read(garbage).is_err(), "{garbage}");
    }
}

#[test]
fn figures_from_elsewhere_may_be_any() {
    let most = usize::MAX;
    let class =
        format!(r#"{{"size":{most},"current":{most},"cached":{most},"total":{most},"denied":{most}}}"#);
    let text = format!(r#"{{"mbufs":{class},"clusters":{class},"jumbo_page":{class}}}"#);
    let stats: PoolStats = serde_json::from_str(&text).unwrap();
    assert_eq!(stats.bytes_in_use(), most);
    assert!(format!("{stats:#}").contains(&format!("{most}/{most}/{most} mbufs in use")));
    let mut page = Exposition::new();
    page.add(&stats);
    assert!(page.to_string().contains(&most.to_string()));
    assert_eq!(PoolStats::default().since(&stats).mbufs.denied, 0);
}

/// Every sample by its name and labels.
fn samples(text: &str) -> BTreeMap<(String, BTreeMap<String, String>), u64> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let mut samples = BTreeMap::new();
    for sample in scrape.samples {
        let value = match sample.value {
            Value::Counter(n) | Value::Gauge(n) | Value::Untyped(n) => n as u64,
            other => panic!("{other:?}"),
        };
        let labels = sample.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let before = samples.insert((sample.metric, labels), value);
        assert_eq!(before, None, "a series is there twice");
    }
    samples
}

fn series(name: &str, labels: &[(&str, &str)]) -> (String, BTreeMap<String, String>) {
    (name.into(), labels.iter().map(|&(key, value)| (key.into(), value.into())).collect())
}

#[test]
#[cfg_attr(miri, ignore = "the regular expressions of who reads it back take minutes")]
fn every_figure_is_in_the_prometheus_text() {
    worked("rx", |stats| {
        let mut page = Exposition::new();
        page.add(&stats);
        let text = page.to_string();
        let mut found = samples(&text);
        let mut take = |name: &str, label: Option<(&str, &str)>| {
            let labels: Vec<_> = [("pool", "rx")].into_iter().chain(label).collect();
            found.remove(&series(name, &labels))
        };
        for (class, figures) in stats.classes() {
            let class = Some(("class", class));
            assert_eq!(take("mbuf_in_use", class), Some(figures.current as u64), "{class:?}\n{text}");
            assert_eq!(take("mbuf_cached", class), Some(figures.cached as u64));
            assert_eq!(take("mbuf_backed", class), Some(figures.total as u64));
            assert_eq!(take("mbuf_peak", class), figures.peak.map(|peak| peak as u64));
            assert_eq!(take("mbuf_limit", class), figures.limit.map(|limit| limit as u64));
            assert_eq!(take("mbuf_buffer_bytes", class), Some(figures.size as u64));
            assert_eq!(take("mbuf_allocations_total", class), Some(figures.allocations));
            assert_eq!(take("mbuf_denied_total", class), Some(figures.denied));
            assert_eq!(take("mbuf_waited_total", class), figures.waited);
            assert_eq!(take("mbuf_reclaimed_total", class), Some(figures.reclaimed));
            assert_eq!(take("mbuf_reserved", class), Some(figures.reserved as u64));
        }
        for (label, count) in
            ["data", "header", "socket_name", "control", "out_of_band"].into_iter().zip(stats.types.iter())
        {
            assert_eq!(take("mbuf_mbufs_by_type", Some(("type", label))), Some(count.1 as u64));
        }
        assert_eq!(take("mbuf_tags", None), Some(1));
        assert_eq!(take("mbuf_tags_attached_total", None), Some(1));
        assert_eq!(take("mbuf_budget_bytes", None), Some(1 << 30));
        assert_eq!(take("mbuf_budget_charged_bytes", None), Some(stats.budget_charged as u64));
        assert_eq!(take("mbuf_memory_waited_total", None), Some(0));
        assert_eq!(take("mbuf_reclaims_total", None), Some(stats.reclaims));
        assert_eq!(take("mbuf_reclaim_panics_total", None), Some(0));
        assert_eq!(take("mbuf_faults_total", None), Some(0));
        for (name, _, count) in stats.ops.iter() {
            assert_eq!(take(&format!("mbuf_{name}_total"), None), Some(count), "{name}");
        }
        assert_eq!(found, BTreeMap::new(), "and nothing else is");
        // Each family is described once, and the page has an end.
        let described = |name: &str| text.matches(&format!("# TYPE mbuf_{name} ")).count();
        assert_eq!((described("in_use"), described("denied"), described("pullups")), (1, 1, 1));
        assert!(text.ends_with("# EOF\n"));
    });
}

#[test]
#[cfg_attr(miri, ignore = "the regular expressions of who reads it back take minutes")]
fn pools_of_one_name_and_pools_of_odd_names_stay_apart() {
    let odd = "a\"b\\c\nd";
    let pools = ["same", "same", odd, "same"].map(|name| Pool::builder().name(name).build().unwrap());
    let mut page = Exposition::new();
    pools.iter().for_each(|pool| page.add_with(&[("pid", "1")], &pool.stats()));
    page.add_with(&[("pid", "2")], &pools[0].stats());
    let text = page.to_string();
    for (pid, name) in
        [("1", "same"), ("1", "same#2"), ("1", "same#3"), ("2", "same"), ("1", r#"a\"b\\c\nd"#)]
    {
        let line = format!("mbuf_tags{{pid=\"{pid}\",pool=\"{name}\"}} 0");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(Exposition::new().to_string().lines().filter(|line| !line.starts_with('#')).count(), 0);
}
