//! Holds `docs/bsd-map.md` to what it says: each row names an item that is defined where the row says, and a test that
//! exists; each name of the three BSD files has a row.
//!
//! The rows are read as text, and so is the code: no row can name something that was renamed, moved or removed without
//! this test naming the row.

mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mbuf::{
    Class, Flags, MCLBYTES, MHLEN, MINCLSIZE, MJUM9BYTES, MJUM16BYTES, MJUMPAGESIZE, MLEN, MSIZE, MbufType,
};

use tables::{Row, Sources, code, root, rows, tests, without_qualifiers, words};

/// Functions that the three files define, callbacks and private ones too, and the allocator calls they rest on.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "do_mbstat", "do_mbtypes", "linkcluster", "m_adj", "m_cat", "m_chtype", "m_copyback", "m_copydata",
    "m_copym", "m_copypacket", "m_countm", "m_defrag", "m_defrag_nofree", "m_devget", "m_devpad", "m_dup",
    "m_dup_pkthdr", "m_free", "m_freem", "m_get", "m_getc", "m_getcl", "m_getclr", "m_gethdr", "m_getl",
    "m_getm", "m_getzone", "m_last", "m_lengthm", "m_mclfree", "m_mclget", "m_mclref", "m_move_pkthdr",
    "m_prepend", "m_print", "m_pullup", "m_reclaim", "m_retry", "m_retryhdr", "m_sharecount", "m_split",
    "m_tag_copy_chain", "m_tag_delete_chain", "m_uiomove", "mac_mbuf_init", "mb_ctor_clust", "mb_ctor_mbuf",
    "mb_ctor_pack", "mb_dtor_clust", "mb_dtor_mbuf", "mb_dtor_pack", "mb_reclaim", "mb_zfini_pack",
    "mb_zinit_pack", "mbinit", "mbtrack_cmp", "mbuf_ctor", "mbuf_init", "mbuf_jumbo_alloc",
    "mbuf_jumbo_free", "mbufcluster_ctor", "mbufcluster_dtor", "mbufphdr_ctor", "mbufphdrcluster_ctor",
    "mbuftrack", "mbuftrack_callback", "mbuftrack_show", "mbuftrackid", "mbufuntrack", "mclmeta_ctor",
    "mclmeta_dtor", "mclpool_alloc", "mclpool_release", "objcache_create", "objcache_dtor", "objcache_get",
    "objcache_put", "objcache_reclaimlist", "pool_init", "pool_sethardlimit", "sysctl_nmbclusters",
    "sysctl_nmbjumbo16", "sysctl_nmbjumbo9", "sysctl_nmbjumbop", "trash_ctor", "trash_dtor", "trash_fini",
    "trash_init", "tunable_mbinit", "uiomove", "uma_find_refcnt", "uma_zalloc_arg", "uma_zcreate",
    "uma_zfree_arg", "uma_zone_exhausted_nolock", "uma_zone_set_allocf", "uma_zone_set_freef",
    "uma_zone_set_max", "uma_zsecond_create", "updatestats", "zone_drain",
];

/// What can be set, read or listened to from outside.
#[rustfmt::skip]
const SETTINGS: &[&str] = &[
    "kern.ipc.m_defragbytes", "kern.ipc.m_defragfailure", "kern.ipc.m_defragpackets",
    "kern.ipc.m_defragrandomfailures", "kern.ipc.m_defraguseless", "kern.ipc.max_datalen",
    "kern.ipc.max_hdr", "kern.ipc.max_linkhdr", "kern.ipc.max_protohdr", "kern.ipc.mbstat",
    "kern.ipc.mbtypes", "kern.ipc.mbuf_wait", "kern.ipc.nmbclusters", "kern.ipc.nmbjumbo16",
    "kern.ipc.nmbjumbo9", "kern.ipc.nmbjumbop", "kern.ipc.nmbufs", "kern.ipc.showmbufs",
    "nmbclusters_change", "vm_lowmem",
];

/// Counters and the tables that hold them.
#[rustfmt::skip]
const COUNTERS: &[&str] = &[
    "m_clfree", "m_clusters", "m_defragbytes", "m_defragfailure", "m_defragpackets",
    "m_defragrandomfailures", "m_defraguseless", "m_drain", "m_drops", "m_mbufs", "m_mcfail", "m_mclbytes",
    "m_mclusts", "m_mhlen", "m_minclsize", "m_mlen", "m_mpfail", "m_msize", "m_numtypes", "m_spare",
    "m_wait", "mbstat", "mbtypes", "MCFail", "MPFail", "sf_allocfail", "sf_allocwait", "sf_iocnt",
];

/// Zones, caches, limits and other globals; types of memory; structures.
#[rustfmt::skip]
const GLOBALS: &[&str] = &[
    "M_JUMBOFRAME", "M_MBUF", "M_MBUFCL", "M_MCLMETA", "M_MTRACK", "max_datalen", "max_hdr", "max_linkhdr",
    "max_protohdr", "maxusers", "mb_map", "mbpool", "mbuf_cache", "mbuf_malloc_args", "mbuf_rb_tree",
    "mbuf_track_root", "mbufcluster_cache", "mbufphdr_cache", "mbufphdrcluster_cache", "mclmeta_cache",
    "mclmeta_malloc_args", "mclpool", "nmbclusters", "nmbjumbo16", "nmbjumbo9", "nmbjumbop", "nmbufs",
    "struct mb_args", "struct mbcluster", "struct mbctrack", "struct mbtrack", "zone_clust",
    "zone_ext_refcnt", "zone_jumbo16", "zone_jumbo9", "zone_jumbop", "zone_mbuf", "zone_pack",
];

/// Flags, constants and fields.
#[rustfmt::skip]
const FLAGS: &[&str] = &[
    "DDB", "ext_arg", "ext_arg1", "ext_arg2", "ext_buf", "EXT_CLUSTER", "ext_free", "EXT_JUMBO16",
    "EXT_JUMBO9", "EXT_JUMBOP", "EXT_PACKET", "ext_ref", "ext_size", "ext_type", "if_drain", "INVARIANTS",
    "M_CLCACHE", "M_COPYALL", "M_COPYFLAGS", "m_dat", "m_data", "M_DONTWAIT", "M_EXT", "m_ext",
    "M_EXT_CLUSTER", "m_flags", "M_INTWAIT", "m_len", "m_next", "m_nextpkt", "M_NOFREE", "M_NOWAIT",
    "M_PHCACHE", "m_pktdat", "M_PKTHDR", "m_pkthdr", "m_pkthdr.csum_data", "m_pkthdr.csum_flags",
    "m_pkthdr.ether_vtag", "m_pkthdr.fw_flags", "m_pkthdr.header", "m_pkthdr.len", "m_pkthdr.rcvif",
    "m_pkthdr.tags", "m_pkthdr.tso_segsz", "m_type", "M_ZERO", "MAC", "MB_DONTWAIT", "MB_NOTAGS",
    "MB_TRYWAIT", "MB_WAIT", "MBUF_CLUSTER_MEM_NAME", "MBUF_DEBUG", "MBUF_EXTREFCNT_MEM_NAME",
    "MBUF_JUMBO16_MEM_NAME", "MBUF_JUMBO9_MEM_NAME", "MBUF_JUMBOP_MEM_NAME", "MBUF_MEM_NAME",
    "MBUF_PACKET_MEM_NAME", "MBUF_STRESS_TEST", "mcl_data", "mcl_refs", "MCLBYTES", "MHLEN", "MINCLSIZE",
    "MJUM16BYTES", "MJUM9BYTES", "MJUMPAGESIZE", "MLEN", "MSIZE", "MT_DATA", "MT_FREE", "MT_NOINIT",
    "MT_NTYPES", "pr_drain", "PR_WAITOK", "ref_cnt", "UMA_ALIGN_PTR", "UMA_SLAB_KERNEL",
    "UMA_ZONE_MAXBUCKET", "UMA_ZONE_REFCNT", "UMA_ZONE_ZINIT",
];

/// Macros that the three files define or use.
#[rustfmt::skip]
const MACROS: &[&str] = &[
    "M_ALIGN", "M_COPY_PKTHDR", "M_MOVE_PKTHDR", "M_TRAILINGSPACE", "M_WRITABLE", "MBTOM", "MBTYPES",
    "MCLADDREFERENCE", "MCLGET", "MFREE", "MGET", "MGETHDR", "MH_ALIGN", "mtod", "NCL_INIT", "NMB_INIT",
    "NMBCLUSTERS", "NMBUFS",
];

/// What other and later systems have, and this project must have.
#[rustfmt::skip]
const LATER_ADDITIONS: &[&str] = &[
    "m_get2", "m_getjcl", "m_getm2", "m_clget", "m_cljget", "m_extadd", "MEXTADD", "maxmbufmem",
    "uma_zone_set_warning", "uma_zone_set_maxaction", "mbuf_lowmem", "m_append", "m_apply", "m_getptr",
    "m_pulldown", "m_ensure_contig", "m_copyup", "m_unshare", "m_makewritable", "m_copyback_cow",
    "m_fragment", "m_catpkt", "m_demote", "m_demote_pkthdr", "m_remove_pkthdr", "m_removehdr", "m_resethdr",
    "m_fixhdr", "m_calchdrlen", "m_length", "m_align", "m_uiotombuf", "m_mbuftouio", "struct mchain",
    "struct mbuf_chain", "mc_uiotomc", "mc_get", "mc_split", "mc_concat", "mc_append", "mc_prepend",
    "mc_remove", "struct m_tag", "m_tag_alloc", "m_tag_copy", "m_tag_delete", "m_tag_delete_nonpersistent",
    "m_tag_find", "m_tag_first", "m_tag_free", "m_tag_get", "m_tag_locate", "m_tag_next", "m_tag_prepend",
    "m_tag_unlink", "m_tag_cookie", "m_tag_id", "MTAG_PERSISTENT", "PH_per", "PH_loc", "M_RDONLY",
    "M_PROMISC", "M_VLANTAG", "M_TSTMP", "M_PROTO1", "struct mbufq", "mbufq_init", "mbufq_enqueue",
    "mbufq_prepend", "mbufq_dequeue", "mbufq_first", "mbufq_last", "mbufq_len", "mbufq_full", "mbufq_empty",
    "mbufq_flush", "mbufq_drain", "mbufq_concat", "struct mbuf_list", "ml_init", "ml_enqueue", "ml_dequeue",
    "ml_enlist", "ml_purge", "ml_len", "ml_empty", "ml_hdatalen", "in_cksum", "in_cksum_skip",
    "os_mbuf_cmpf", "os_mbuf_cmpm", "m_sanity", "m_verify_packet", "netstat -m", "M_PREPEND",
    "M_LEADINGSPACE", "m_getb",
];

/// Where a BSD name may come from.
const SYSTEMS: [&str; 9] = ["D", "F", "N", "DragonFly", "FreeBSD", "Mynewt", "NetBSD", "OpenBSD", "XNU"];

const NOTHING: &str = "—";

fn map() -> String {
    fs::read_to_string(root().join("docs/bsd-map.md")).expect("docs/bsd-map.md can be read")
}

/// The names in a row's first cell.
fn names<'a>(row: &Row<'a>) -> impl Iterator<Item = &'a str> {
    row.cells[0].split('`').skip(1).step_by(2)
}

/// Everything that is wrong with a row by itself.
fn faults(row: &Row<'_>, sources: &mut Sources) -> Vec<String> {
    let [name, from, ours, file, test, difference] = row.cells[..] else {
        return vec![format!("has {} cells instead of 6", row.cells.len())];
    };
    let mut faults = Vec::new();
    if name.is_empty() || name.split('`').count() % 2 == 0 {
        faults.push("has no name, or backticks without their pair".into());
    }
    if let Some(unknown) = from.split(", ").find(|system| !SYSTEMS.contains(system)) {
        faults.push(format!("is from `{unknown}`, which is no system known here"));
    }
    if difference.is_empty() {
        faults.push("says nothing about the difference; is there none?".into());
    }
    if ours == "none" {
        if difference == "none" {
            faults.push("does not say why it is not here".into());
        }
        if (file, test) != (NOTHING, NOTHING) {
            faults.push("has a file or a test, but no item".into());
        }
        return faults;
    }
    match (code(ours), code(file)) {
        (Some(item), Some(file)) => match sources.read(file) {
            None => faults.push(format!("names the file `{file}`, which does not exist")),
            Some(source) if !defines(source, file, item) => {
                faults.push(format!("names `{item}`, which `{file}` does not define"));
            }
            Some(_) => {}
        },
        _ => faults.push("does not name an item and a file, each in backticks".into()),
    }
    faults.extend(sources.lack_of(test));
    faults
}

/// Whether a source file defines an item that is named by a path such as `Type::method` or `module::function`.
fn defines(source: &str, file: &str, item: &str) -> bool {
    let lines: Vec<&str> = source.lines().collect();
    match item.rsplit_once("::") {
        None => lines.iter().any(|line| is_item(line, item)),
        Some((owner, name)) => {
            let owner = owner.rsplit("::").next().unwrap_or(owner);
            let module = Path::new(file).file_stem().is_some_and(|stem| stem == owner);
            let here = |line: &&str| is_item(line, name) || is_member(line, name);
            module && lines.iter().any(|line| is_item(line, name))
                || blocks(&lines, owner).any(|block| block.iter().any(here))
        }
    }
}

/// The bodies of the types, traits and `impl`s that name `owner` at their head. Relies on rustfmt for indentation.
fn blocks<'a>(lines: &'a [&'a str], owner: &str) -> impl Iterator<Item = &'a [&'a str]> {
    lines.iter().enumerate().filter_map(move |(start, line)| {
        let first = words(without_qualifiers(line)).next()?;
        if !["impl", "struct", "enum", "union", "trait", "mod"].contains(&first) {
            return None;
        }
        // The head may take several lines.
        let open = start + lines[start..].iter().position(|line| line.ends_with(['{', ';', '}']))?;
        if !lines[open].ends_with('{')
            || !lines[start..=open].iter().any(|line| words(line).any(|w| w == owner))
        {
            return None;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = open + lines[open..].iter().position(|line| line.strip_prefix(indent) == Some("}"))?;
        Some(&lines[open + 1..end])
    })
}

/// Whether a line begins the definition of a function, type, constant or module of that name.
fn is_item(line: &str, name: &str) -> bool {
    let line = without_qualifiers(line);
    let mut words = words(line);
    let keyword = ["fn", "struct", "enum", "union", "trait", "type", "mod", "const", "static"];
    words.next().is_some_and(|first| keyword.contains(&first)) && words.next() == Some(name)
}

/// Whether a line within a type is a field or variant of that name.
fn is_member(line: &str, name: &str) -> bool {
    let Some(rest) = without_qualifiers(line).strip_prefix(name) else { return false };
    let variant = name.starts_with(char::is_uppercase)
        && (rest.is_empty() || [",", "(", " {", " ="].iter().any(|next| rest.starts_with(next)));
    variant || rest.starts_with(": ")
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "docs/bsd-map.md is wrong in {} places:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_row_names_an_item_and_a_test_that_exist() {
    let text = map();
    let rows = rows(&text);
    assert!(rows.len() > 300, "the tables were not found");
    let mut sources = Sources::default();
    let mut found = Vec::new();
    for row in &rows {
        found.extend(faults(row, &mut sources).into_iter().map(|fault| format!("{row}: {fault}")));
    }
    report(&found);
}

#[test]
fn no_table_has_a_name_twice() {
    let text = map();
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for row in rows(&text) {
        if let Some(line) = seen.insert((row.table.to_owned(), row.cells[0].to_owned()), row.line) {
            found.push(format!("{row}: stands in line {line} already"));
        }
    }
    report(&found);
}

#[test]
fn every_bsd_name_has_a_row() {
    let text = map();
    let rows = rows(&text);
    let names: BTreeSet<&str> = rows.iter().flat_map(names).collect();
    let wanted = [FUNCTIONS, SETTINGS, COUNTERS, GLOBALS, FLAGS, MACROS, LATER_ADDITIONS].concat();
    let missing = wanted.iter().filter(|name| !names.contains(*name));
    report(&missing.map(|name| format!("{name}: has no row")).collect::<Vec<_>>());
}

/// But for B42, counters of several processors in one cache line: no matter of behaviour.
#[test]
fn every_defect_that_a_row_claims_to_avoid_has_a_test() {
    let mut tested = BTreeSet::from([42]);
    for folder in ["crates/mbuf/tests", "crates/mbuf-zone/tests"] {
        for path in files(&root().join(folder)) {
            let source = fs::read_to_string(&path).expect("the tests can be read");
            // `b46_b48_limits…` is about two.
            for test in tests(&source) {
                let numbers = test.split('_').map_while(|word| word.strip_prefix('b')?.parse::<u32>().ok());
                tested.extend(numbers);
            }
        }
    }
    let text = map();
    let mut found = Vec::new();
    for row in rows(&text) {
        let [_, _, ours, _, _, difference] = row.cells[..] else { continue };
        if ours == "none" {
            continue;
        }
        let claimed = words(difference).filter_map(|word| word.strip_prefix('B')?.parse::<u32>().ok());
        let untested = claimed.filter(|number| !tested.contains(number));
        found.extend(untested.map(|number| format!("{row}: no test is named after B{number}")));
    }
    report(&found);
}

/// All files in a folder and those within it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// What the documentation of the crate calls by a BSD name must be found by that name in the map, too.
#[test]
fn every_bsd_name_that_the_documentation_uses_has_a_row() {
    let mut wanted = BTreeSet::new();
    for path in files(&root().join("crates/mbuf/src")) {
        let source = fs::read_to_string(&path).expect("the sources can be read");
        let aliases = source.lines().filter_map(|line| {
            line.trim().strip_prefix("#[doc(alias = \"")?.strip_suffix("\")]").map(String::from)
        });
        wanted.extend(aliases);
    }
    // Names of DPDK and Linux stand beside those of the BSDs.
    wanted.retain(|name| !["rte_", "skb_", "pskb_"].iter().any(|other| name.starts_with(other)));
    assert!(wanted.len() > 50, "the sources were not found");
    let text = map();
    let rows = rows(&text);
    // `mbufq` is found in `struct mbufq`, `netstat` in `netstat -m`.
    let names: BTreeSet<&str> = rows.iter().flat_map(names).collect();
    let known = |name: &&String| {
        names.iter().any(|known| *known == name.as_str() || words(known).any(|w| w == *name))
    };
    let missing = wanted.iter().filter(|name| !known(name));
    report(&missing.map(|name| format!("{name}: has no row")).collect::<Vec<_>>());
}

/// The reader of the tables itself: each kind of fault is found, and nothing else.
#[test]
fn a_row_that_is_not_true_is_found() {
    const TABLE: &str = "## T\n\n| a | b | c | d | e | f |\n| - | - | - | - | - | - |\n";
    let file = "crates/mbuf-testkit/tests/tables/mod.rs";
    let test = "crates/mbuf-testkit/tests/bsd_map.rs::a_row_that_is_not_true_is_found";
    let row =
        |ours: &str, file: &str, test: &str| format!("| `m` | D, F | {ours} | {file} | {test} | none |");
    let cases = [
        (row("`Sources::read`", &format!("`{file}`"), &format!("`{test}`")), None),
        (row("`Row::line`", &format!("`{file}`"), &format!("`{test}`")), None),
        ("| `m` | D | none | — | — | for C |".into(), None),
        ("| `m` | D | none |".into(), Some("3 cells")),
        ("| `m` | Minix | none | — | — | for C |".into(), Some("no system")),
        (row("later", NOTHING, &format!("`{test}`")), Some("does not name an item")),
        (row("none", NOTHING, NOTHING), Some("does not say why")),
        ("| `m` | D | none | `Cargo.toml` | — | for C |".into(), Some("but no item")),
        (row("`Row::cells`", "`crates/nowhere.rs`", &format!("`{test}`")), Some("which does not exist")),
        (row("`Row::cells`", "`/etc/hostname`", &format!("`{test}`")), Some("which does not exist")),
        (row("`Row::rows`", &format!("`{file}`"), &format!("`{test}`")), Some("does not define")),
        (row("`Row::read`", &format!("`{file}`"), &format!("`{test}`")), Some("does not define")),
        (row("`rows`", &format!("`{file}`"), NOTHING), Some("does not name a test")),
        (row("`rows`", &format!("`{file}`"), "`crates/nowhere.rs::a`"), Some("a test in")),
        (row("`rows`", &format!("`{file}`"), &format!("`{file}::rows`")), Some("does not have")),
    ];
    let mut sources = Sources::default();
    for (row, expected) in cases {
        let text = format!("{TABLE}{row}\n");
        let [row] = &rows(&text)[..] else { panic!("one row was given: {text}") };
        let found = faults(row, &mut sources);
        match expected {
            None => assert_eq!(found, [""; 0], "{text}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{text}{found:?}"),
        }
    }
}

/// The numbers that rows give.
#[test]
fn sizes_and_flags_are_those_of_the_map() {
    assert_eq!((MSIZE, MCLBYTES, MINCLSIZE), (256, 2048, MHLEN + 1));
    assert_eq!((MJUMPAGESIZE, MJUM9BYTES, MJUM16BYTES), (4096, 9216, 16384));
    if cfg!(target_pointer_width = "64") {
        assert_eq!((MLEN, MHLEN), (184, 104));
    }
    assert_eq!(Class::ALL.map(Class::size), [MCLBYTES, MJUMPAGESIZE, MJUM9BYTES, MJUM16BYTES]);
    let classes = [Class::Cluster, Class::Page, Class::Jumbo9, Class::Jumbo16];
    assert_eq!(Class::ALL, classes);
    for (i, class) in classes.into_iter().enumerate() {
        assert_eq!(Class::for_len(class.size()), Some(class));
        assert_eq!(Class::for_len(class.size() + 1), classes.get(i + 1).copied());
    }
    let named = [
        Flags::END_OF_RECORD,
        Flags::BROADCAST,
        Flags::MULTICAST,
        Flags::PROMISCUOUS,
        Flags::VLAN_TAG,
        Flags::PROTOCOL,
    ];
    assert_eq!(named.into_iter().fold(Flags(0), Flags::with), Flags(u16::MAX), "every bit has a name");
    assert_eq!(named.map(|flag| flag.0.count_ones()), [1, 1, 1, 1, 1, 11], "and one only");
    let types =
        [MbufType::Data, MbufType::Header, MbufType::SocketName, MbufType::Control, MbufType::OutOfBand];
    assert_eq!(types.map(|kind| kind as u8), [1, 2, 3, 4, 5]);
}
