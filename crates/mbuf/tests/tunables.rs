//! Settings by name: formulas, rules, where they come from, and what is said about bad ones.

use mbuf::{
    Class, LimitPolicy, MHLEN, Origin, Packet, Pool, Preset, Resource, Rule, SettingErrors, StorageKind,
    Tunable, Tunables, Value,
};
use mbuf_testkit::{assert_empty, scaled};
use proptest::prelude::*;

fn limits(tunables: &Tunables) -> [Option<usize>; 5] {
    let resolved = tunables.resolve().unwrap();
    let [a, b, c, d] = Class::ALL.map(|class| resolved.limit(class.into()));
    [a, b, c, d, resolved.limit(Resource::Mbuf)]
}

fn text(lines: &str) -> Tunables {
    let mut tunables = Tunables::new();
    tunables.read_text("test", lines).unwrap_or_else(|errors| panic!("{errors}"));
    tunables
}

fn messages(errors: &SettingErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn presets_compute_what_the_systems_compute() {
    let cases = [
        (Preset::DragonFly, 1, [528, 264, 132, 66, 1056]),
        (Preset::DragonFly, 32, [1024, 512, 256, 128, 2048]),
        (Preset::DragonFly, 64, [1536, 768, 384, 192, 3072]),
        (Preset::DragonFly, 384, [6656, 3328, 1664, 832, 13312]),
        (Preset::FreeBsd, 1, [1088, 544, 272, 136, 2176]),
        (Preset::FreeBsd, 32, [3072, 1536, 768, 384, 6144]),
        (Preset::FreeBsd, 64, [5120, 2560, 1280, 640, 10240]),
        (Preset::FreeBsd, 384, [25600, 12800, 6400, 3200, 51200]),
        (Preset::FreeBsd, 1_000_000, [64_001_024, 32_000_512, 16_000_256, 8_000_128, 128_002_048]),
    ];
    // Where memory has 32 bits, there is none for so many.
    for (preset, users, expected) in
        cases.into_iter().filter(|case| case.1 <= isize::MAX as usize / 2048 / 128)
    {
        let mut tunables = Tunables::from(preset);
        tunables.set(Tunable::MaxUsers, users as u64).unwrap();
        assert_eq!(limits(&tunables), expected.map(Some), "{preset} with {users}");
    }
    assert_eq!(limits(&Preset::FreeBsd.into())[0], Some(25600), "384 users when nobody says how many");
    assert_eq!(limits(&Preset::NetBsd.into()), [1024, 512, 256, 128, 2048].map(Some));
    assert_eq!(limits(&Preset::Unlimited.into()), [None; 5]);
    assert_eq!(limits(&Tunables::new()), [None; 5]);
}

#[test]
fn limits_follow_those_that_are_set_wherever_they_stand() {
    let lines = ["kern.ipc.nmbclusters=80", "kern.ipc.mbuf.preset=freebsd", "kern.maxusers=7"];
    let backwards: Vec<&str> = lines.into_iter().rev().collect();
    for lines in [lines.join("\n"), backwards.join("\n")] {
        assert_eq!(limits(&text(&lines)), [80, 40, 20, 10, 160].map(Some));
    }
    let mut tunables = text("kern.ipc.mbuf.preset=netbsd\nkern.mbuf.nmbclusters=3");
    assert_eq!(limits(&tunables), [3, 1, 1, 1, 6].map(Some), "never none at all");
    tunables.set_text("kern.ipc.nmbclusters", "unlimited").unwrap();
    assert_eq!(limits(&tunables), [None; 5], "of unlimited clusters half are unlimited, too");
    tunables.set_text("kern.ipc.nmbjumbop", "5").unwrap();
    assert_eq!(limits(&tunables), [None, Some(5), None, None, None]);
    tunables.set_text("kern.ipc.nmbufs", "4").unwrap();
    assert_eq!(limits(&tunables), [None, Some(5), None, None, Some(5)], "what has no limit is in no sum");
}

#[test]
fn too_few_mbufs_are_raised_and_that_is_said() {
    // (preset, mbufs asked, mbufs given)
    let cases = [
        (Preset::Unlimited, 10, 10),
        (Preset::DragonFly, 10, 2000),
        (Preset::DragonFly, 1999, 2000),
        (Preset::DragonFly, 2001, 2001),
        // An mbuf for each buffer: 1000 + 500 + 250 + 125.
        (Preset::FreeBsd, 10, 1875),
        (Preset::FreeBsd, 1875, 1875),
        (Preset::NetBsd, 1874, 1875),
    ];
    for (preset, asked, given) in cases {
        let lines = format!(
            "kern.ipc.mbuf.preset=\"{preset}\"\nkern.ipc.nmbclusters=\"1000\"\nkern.ipc.nmbufs=\"{asked}\""
        );
        let resolved = text(&lines).resolve().unwrap();
        assert_eq!(resolved.limit(Resource::Mbuf), Some(given), "{preset}");
        let adjusted: Vec<String> = resolved.adjustments().iter().map(ToString::to_string).collect();
        if asked == given {
            assert!(adjusted.is_empty());
        } else {
            let rule = if preset == Preset::DragonFly {
                "two mbufs for each cluster, and one for each buffer of any size"
            } else {
                "an mbuf for each buffer of any size"
            };
            let expected = format!(
                "test:3: kern.ipc.nmbufs = {asked} becomes {given}: there is {rule}: at least {given} mbufs, \
                 not {asked}"
            );
            assert_eq!(adjusted, [expected]);
        }
    }
}

#[test]
fn headroom_is_the_sum_of_its_parts_whichever_are_set() {
    let given = |lines: &str| -> Result<[u64; 4], String> {
        let resolved = text(lines).resolve().map_err(|errors| messages(&errors).join("\n"))?;
        let value = |tunable| match resolved.value(tunable) {
            Value::Number(n) => n,
            other => panic!("{other:?}"),
        };
        Ok([Tunable::LinkHeader, Tunable::ProtocolHeader, Tunable::Header, Tunable::DataLen].map(value))
    };
    let left = MHLEN as u64;
    assert_eq!(given(""), Ok([16, 48, 64, left - 16]));
    assert_eq!(given("kern.ipc.mbuf.preset=freebsd"), Ok([16, 60, 76, left - 16]));
    assert_eq!(given("kern.ipc.max_linkhdr=40"), Ok([40, 48, 88, left - 40]));
    assert_eq!(given("kern.ipc.max_protohdr=100"), Ok([16, 100, 116, left - 16]));
    assert_eq!(given("kern.ipc.max_hdr=1k"), Ok([16, 1008, 1024, left - 16]));
    assert_eq!(given("kern.ipc.max_hdr=10"), Ok([10, 0, 10, left - 10]));
    assert_eq!(given("kern.ipc.max_hdr=0"), Ok([0, 0, 0, left]));
    assert_eq!(given("kern.ipc.max_linkhdr=20\nkern.ipc.max_hdr=100"), Ok([20, 80, 100, left - 20]));
    let all =
        "kern.ipc.max_linkhdr=20\nkern.ipc.max_hdr=100\nkern.ipc.max_protohdr=80\nkern.ipc.max_datalen=0";
    assert_eq!(given(all), Ok([20, 80, 100, 0]));
    for (lines, message) in [
        (
            "kern.ipc.max_linkhdr=20\nkern.ipc.max_hdr=19",
            "test:2: kern.ipc.max_hdr = 19: max_linkhdr + max_protohdr is max_hdr: 20 against 19",
        ),
        (
            "kern.ipc.max_protohdr=20\nkern.ipc.max_hdr=19",
            "test:2: kern.ipc.max_hdr = 19: max_linkhdr + max_protohdr is max_hdr: 36 against 19",
        ),
        (
            "kern.ipc.max_protohdr=1009",
            "test:1: kern.ipc.max_protohdr = 1009: max_linkhdr + max_protohdr is no more than leaves room in a \
             cluster: 1025 against 1024",
        ),
    ] {
        assert_eq!(given(lines), Err(message.into()));
    }
    let error = given(&format!("kern.ipc.max_datalen={}", left - 15)).unwrap_err();
    assert!(error.contains("max_datalen is no more than max_linkhdr leaves in an mbuf"), "{error}");
}

#[test]
fn headroom_and_inline_data_are_as_tuned() {
    let tunables = text("kern.ipc.max_linkhdr=24\nkern.ipc.max_hdr=200\nkern.ipc.max_datalen=30");
    let pool = Pool::builder().tunables(&tunables).unwrap().build().unwrap();
    for len in [0, 1, 30, 31, 80, 104, 1000] {
        let packet = Packet::from_slice(&pool, &vec![7; len]).unwrap();
        let inline = packet.first_segment().storage_kind() == StorageKind::Inline;
        assert_eq!((inline, packet.headroom()), if len <= 30 { (true, 24) } else { (false, 200) }, "{len}");
        let copy = packet.duplicate().unwrap();
        assert_eq!((copy.headroom(), copy.len()), (packet.headroom(), len));
    }
    assert_eq!((Packet::new(&pool).unwrap().headroom(), pool.headroom()), (24, 200));
    assert_eq!(Packet::with_cluster(&pool).unwrap().headroom(), 200);
    assert_empty(&pool);
}

#[test]
fn what_is_set_in_the_builder_afterwards_replaces_a_tunable() {
    let builder = Pool::builder().clusters(7).headroom(8).tunables(&Preset::NetBsd.into()).unwrap();
    let pool = builder.clone().jumbo_9k(5).headroom(100).build().unwrap();
    assert_eq!((pool.limit(Class::Cluster), pool.limit(Class::Jumbo9)), (Some(1024), Some(5)));
    assert_eq!((pool.headroom(), builder.build().unwrap().headroom()), (100, 76));
}

#[test]
fn a_bad_value_is_named_with_its_source_and_the_rule() {
    let cases = [
        ("kern.ipc.nmbclusters=\"-5\"", "kern.ipc.nmbclusters = -5: nothing is less than zero"),
        (
            "kern.ipc.nmbclusters=\"0\"",
            "kern.ipc.nmbclusters = 0: a limit is at least 1; no limit is written `unlimited`, not 0",
        ),
        ("kern.maxusers=0", "kern.maxusers = 0: it is at least 1"),
        ("kern.ipc.nmbufs=many", "kern.ipc.nmbufs = many: a whole number or `unlimited` is expected"),
        ("kern.ipc.nmbufs=", "kern.ipc.nmbufs: a whole number or `unlimited` is expected"),
        ("kern.ipc.nmbufs=010", "kern.ipc.nmbufs = 010: a number has no leading zero: some read it as octal"),
        (
            "kern.ipc.maxmbufmem=0",
            "kern.ipc.maxmbufmem = 0: a limit is at least 1; no limit is written `unlimited`, not 0",
        ),
        (
            "kern.ipc.maxmbufmem=9999999999G",
            &format!("kern.ipc.maxmbufmem = 9999999999G: it is at most {}", isize::MAX),
        ),
        ("kern.ipc.mbuf_wait=-1", "kern.ipc.mbuf_wait = -1: nothing is less than zero"),
        ("kern.maxusers=unlimited", "kern.maxusers = unlimited: a whole number is expected"),
        ("kern.ipc.max_hdr=1025", "kern.ipc.max_hdr = 1025: it is at most 1024"),
        ("kern.ipc.max_hdr=1M", "kern.ipc.max_hdr = 1M: it is at most 1024"),
        (
            "kern.ipc.m_defragrandomfailures=4294967296",
            "kern.ipc.m_defragrandomfailures = 4294967296: it is at most 4294967295",
        ),
        (
            "kern.ipc.mbuf.preset=openbsd",
            "kern.ipc.mbuf.preset = openbsd: `unlimited`, `dragonfly`, `freebsd` or `netbsd` is expected",
        ),
        (
            "kern.ipc.mbuf.policy=shrink",
            "kern.ipc.mbuf.policy = shrink: `free`, `grow-only` or `fixed` is expected",
        ),
        (
            "kern.ipc.nmbcluster=1",
            "kern.ipc.nmbcluster = 1: there is no such name; is `kern.ipc.nmbclusters` meant?",
        ),
        ("nmbclusters=1", "nmbclusters = 1: there is no such name; is `kern.ipc.nmbclusters` meant?"),
        ("if_em_load=\"YES\"", "if_em_load = YES: there is no such name"),
        ("kern.ipc.nmbufs", "`kern.ipc.nmbufs`: a line reads name=\"value\": there is no `=`"),
        (
            "kern.ipc.nmbufs=\"1",
            "`kern.ipc.nmbufs=\\\"1`: a line reads name=\"value\": a quote is not closed",
        ),
        (
            "kern.ipc.nmbufs=\u{1b}[31m",
            "kern.ipc.nmbufs = \\u{1b}[31m: a whole number or `unlimited` is expected",
        ),
    ];
    for (line, message) in cases {
        let mut tunables = Tunables::new();
        let errors = tunables.read_text("pool.conf", &format!("\n# comment\n{line}")).unwrap_err();
        assert_eq!(messages(&errors), [format!("pool.conf:3: {message}")]);
        assert_eq!(tunables, Tunables::new(), "nothing was set");
    }
    let long = format!("kern.ipc.nmbufs={}", "9".repeat(scaled(100_000, 1000)));
    let error = Tunables::new().read_text("f", &long).unwrap_err().to_string();
    assert!(error.len() < 200 && error.contains("999…: it is at most"), "{error}");
}

#[test]
fn every_error_of_a_file_is_reported_and_nothing_of_it_is_set() {
    let mut tunables = text("kern.ipc.nmbufs=5");
    let before = tunables.clone();
    let lines =
        "kern.ipc.nmbclusters=1\nkern.ipc.nmbclusters=x\n\nbad\nkern.ipc.nmbufs=0\nkern.ipc.nmbjumbop=2";
    let errors = tunables.read_text("f", lines).unwrap_err();
    let lines: Vec<usize> = errors
        .iter()
        .map(|error| match error.origin {
            Origin::Line { line, .. } => line,
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((lines, errors.len()), (vec![2, 4, 5], 3));
    assert_eq!(errors.to_string().lines().count(), 3);
    assert_eq!(tunables, before);

    let many = scaled(100_000, 300);
    let errors = tunables.read_text("f", &"x\n".repeat(many)).unwrap_err();
    assert_eq!((errors.len(), errors.iter().count()), (many, SettingErrors::MOST));
    assert!(errors.to_string().ends_with(&format!("\nand {} more", many - SettingErrors::MOST)));
}

#[test]
fn rules_between_values_are_all_reported_by_where_they_come_from() {
    let mut tunables = text("kern.maxusers=5\nkern.ipc.max_linkhdr=90\nkern.ipc.max_datalen=90");
    tunables.read_variables([("MBUF_MAX_HDR", "50")]).unwrap();
    let errors = tunables.resolve().unwrap_err();
    assert_eq!(
        messages(&errors),
        [
            "test:1: kern.maxusers = 5: it has no effect: only the presets dragonfly and freebsd compute limits \
             from it"
                .to_owned(),
            "environment variable MBUF_MAX_HDR: kern.ipc.max_hdr = 50: max_linkhdr + max_protohdr is max_hdr: \
             90 against 50"
                .to_owned(),
            format!(
                "test:3: kern.ipc.max_datalen = 90: max_datalen is no more than max_linkhdr leaves in an mbuf: \
                 90 against {}",
                MHLEN - 90
            ),
        ]
    );
    assert_eq!(Pool::builder().tunables(&tunables).unwrap_err(), errors);
}

#[test]
fn a_file_is_read_like_loader_conf() {
    let lines = "\u{feff}# /boot/loader.conf\r\nkern.ipc.nmbclusters=\"100\"\t# quoted\r\n  kern.ipc.nmbufs = 300\n\
                 kern.ipc.max_hdr=\"1K\"#close\nkern.ipc.nmbclusters=200";
    let tunables = text(lines);
    assert_eq!(tunables.get(Tunable::Clusters), Some(Value::Number(200)), "the last one counts");
    assert_eq!(tunables.get(Tunable::Mbufs), Some(Value::Number(300)));
    assert_eq!(tunables.get(Tunable::Header), Some(Value::Number(1024)));
    assert_eq!(tunables.get(Tunable::MaxUsers), None);
    assert_eq!(tunables.resolve().unwrap().origin(Tunable::Clusters).to_string(), "test:5");

    // Longer than what is shown of a value.
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("a folder with a name so long that it would be cut");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("tunables.conf");
    std::fs::write(&path, lines).unwrap();
    let mut read = Tunables::new();
    read.read_file(&path).unwrap();
    assert_eq!(read.get(Tunable::Header), Some(Value::Number(1024)));

    let unreadable = |bytes: Option<&[u8]>, why: &str| {
        let path = folder.join("tunables-bad.conf");
        let _ = std::fs::remove_file(&path);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let error = Tunables::new().read_file(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{}{why}", path.display())), "{error}");
    };
    unreadable(None, ": the file cannot be read: No such file");
    unreadable(
        Some(b"# \xc3\xbc\n\nkern.ipc.nmbufs=\xff\n"),
        ":3: a line reads name=\"value\": it is not UTF-8",
    );
    // A MiB takes Miri minutes.
    #[cfg(not(miri))]
    unreadable(Some(&vec![b'\n'; (1 << 20) + 1]), ": the file cannot be read: it is longer than 1 MiB");

    // A stream, which is called as the caller says.
    let mut read = Tunables::new();
    read.read_from("(standard input)", lines.as_bytes()).unwrap();
    assert_eq!(read.resolve().unwrap().origin(Tunable::Clusters).to_string(), "(standard input):5");
    let error = read.read_from("(standard input)", &b"x=1"[..]).unwrap_err().to_string();
    assert!(error.starts_with("(standard input):1: x = 1: there is no such name"), "{error}");
}

#[test]
fn variables_are_known_by_their_short_names_and_their_whole_ones() {
    let mut tunables = Tunables::new();
    tunables
        .read_variables([
            ("MBUF_NMBCLUSTERS", "10"),
            ("kern.ipc.nmbclusters", "20"),
            ("kern.ipc.nmbufs", "30"),
            ("kern.mbuf.nmbclusters", "40"),
            ("MBUF_POLICY", "grow-only"),
            ("MBUF_PUBLISH", "what others look at"),
            ("kern.ipc.somaxconn", "128"),
            ("PATH", "/bin"),
            ("", ""),
        ])
        .unwrap();
    assert_eq!(tunables.get(Tunable::Clusters), Some(Value::Number(10)), "the short name goes first");
    assert_eq!(tunables.get(Tunable::Mbufs), Some(Value::Number(30)));
    assert_eq!(tunables.get(Tunable::Policy), Some(Value::Policy(LimitPolicy::GrowOnly)));
    let origin = Origin::Variable("MBUF_NMBCLUSTERS".into());
    assert_eq!(tunables.resolve().unwrap().origin(Tunable::Clusters), &origin);

    let before = tunables.clone();
    let bad = [
        ("MBUF_NMBCLUSTER", "1"),
        ("kern.ipc.nmbjumbo8", "2"),
        ("MBUF_NMBUFS", "-1"),
        ("MBUF_NMBJUMBOP", "3"),
    ];
    let errors = tunables.read_variables(bad).unwrap_err();
    assert_eq!(
        messages(&errors),
        [
            "environment variable MBUF_NMBCLUSTER: `1`: there is no such name; is `MBUF_NMBCLUSTERS` meant?",
            "environment variable kern.ipc.nmbjumbo8: `2`: there is no such name; is `kern.ipc.nmbjumbo9` meant?",
            "environment variable MBUF_NMBUFS: kern.ipc.nmbufs = -1: nothing is less than zero",
        ]
    );
    assert_eq!(tunables, before);
}

#[test]
fn every_tunable_is_found_by_its_names_and_says_what_it_is() {
    let mut names = Vec::new();
    for tunable in Tunable::ALL {
        assert_eq!(Tunable::named(tunable.name()), Some(tunable));
        assert!(tunable.alias().is_none_or(|alias| Tunable::named(alias) == Some(tunable)));
        let last = tunable.name().rsplit('.').next().unwrap();
        assert_eq!(tunable.variable(), format!("MBUF_{}", last.to_uppercase()));
        assert!(tunable.about().len() > 10);
        assert_eq!(tunable.resource().is_some(), tunable.name().starts_with("kern.ipc.nmb"));
        assert!(tunable.resource().is_none_or(|resource| Tunable::of(resource) == Some(tunable)));
        names.extend([tunable.name(), tunable.variable()]);
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(Tunable::named("kern.ipc.nmbcluster"), None);
}

#[test]
#[cfg_attr(miri, ignore = "starts a process")]
fn a_pool_may_be_made_from_the_environment() {
    // The environment of a process of its own: it cannot be changed here without racing other tests.
    let Ok(expected) = std::env::var("TUNABLES_TEST_EXPECTS") else {
        let child = |variables: &[(&str, &str)], expects: &str| {
            let me = std::env::current_exe().unwrap();
            let mut command = std::process::Command::new(me);
            command.args(["--exact", "a_pool_may_be_made_from_the_environment"]);
            command.env("TUNABLES_TEST_EXPECTS", expects).envs(variables.iter().copied());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        };
        child(&[("MBUF_PRESET", "freebsd"), ("kern.ipc.nmbclusters", "64")], "64");
        child(&[("MBUF_NMBCLUSTERS", "0")], "error");
        return;
    };
    match Pool::from_env() {
        Ok(pool) => {
            assert_eq!(pool.stats().clusters.limit.unwrap().to_string(), expected);
            assert_eq!(pool.stats().jumbo_16k.limit, Some(8));
        }
        Err(errors) => {
            assert_eq!(expected, "error");
            assert!(matches!(errors.iter().next().unwrap().rule, Rule::ZeroLimit));
        }
    }
}

/// Text that is nearly right, more often than not.
fn lines() -> impl Strategy<Value = String> {
    let names: Vec<&str> = Tunable::ALL.iter().map(|tunable| tunable.name()).collect();
    let name = prop_oneof![8 => proptest::sample::select(names).prop_map(String::from), 1 => ".{0,80}"];
    let value = prop_oneof![
        4 => any::<u64>().prop_map(|n| n.to_string()),
        4 => (0_u64..3000).prop_map(|n| n.to_string()),
        2 => "[0-9]{1,30}[kKmMgG]?",
        3 => proptest::sample::select(vec!["unlimited", "freebsd", "dragonfly", "netbsd", "fixed", "free"])
            .prop_map(String::from),
        1 => ".{0,80}",
    ];
    proptest::collection::vec((name, value).prop_map(|(name, value)| format!("{name}=\"{value}\"")), 0..8)
        .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: scaled(256, 3) as u32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_text_is_read_or_refused(text in "(?s).{0,400}", value in ".{0,60}") {
        let mut tunables = Tunables::new();
        let _ = tunables.read_text("f", &text);
        let _ = tunables.read_variables([(text.as_str(), value.as_str())]);
        for tunable in Tunable::ALL {
            let _ = tunables.set_text(tunable.name(), &value);
        }
        let _ = tunables.resolve();
        let _ = Pool::new().sysctl().set(&text, &value);
    }

    /// Whatever is accepted makes a pool with these limits, and keeps the rules of its preset.
    #[test]
    fn what_is_accepted_is_in_force(lines in lines()) {
        let mut tunables = Tunables::new();
        // Line by line, so that one bad line does not take the others with it.
        for line in lines.lines() {
            let before = tunables.clone();
            if let Err(errors) = tunables.read_text("f", line) {
                prop_assert!(errors.len() >= 1 && tunables == before);
            }
        }
        match (tunables.resolve(), Pool::builder().tunables(&tunables)) {
            (Ok(resolved), Ok(builder)) => {
                let pool = builder.build().unwrap();
                for tunable in Tunable::ALL {
                    prop_assert_eq!(pool.sysctl().read(tunable.name()).unwrap(), resolved.value(tunable));
                }
                for adjustment in resolved.adjustments() {
                    prop_assert_eq!(resolved.value(adjustment.tunable), adjustment.given);
                }
                let buffers = Class::ALL.map(|class| resolved.limit(class.into()).unwrap_or(0) as u128);
                let mbufs = resolved.limit(Resource::Mbuf).map_or(u128::MAX, |n| n as u128);
                let preset = resolved.value(Tunable::Preset);
                prop_assert!(preset == Value::Preset(Preset::Unlimited) || buffers.iter().sum::<u128>() <= mbufs);
                prop_assert!(preset != Value::Preset(Preset::DragonFly) || 2 * buffers[0] <= mbufs);
                drop(Packet::from_slice(&pool, &[1; 100]));
                assert_empty(&pool);
            }
            (Err(errors), Err(same)) => prop_assert!(errors == same && errors.len() >= 1),
            (resolved, _) => prop_assert!(false, "{resolved:?}"),
        }
    }
}
