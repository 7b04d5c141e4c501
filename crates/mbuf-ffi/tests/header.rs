//! The headers say what the library is: same functions, same types, same places of fields, in every language and
//! compiler.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{build, compile, compilers, has, libraries, ran, source};

#[test]
fn fields_are_where_the_library_has_them() {
    for compiler in compilers("c11") {
        ran(&mut Command::new(build(compiler, "tests/c/layout.c", &[])));
    }
}

/// Every function of the library as its Rust source declares it: name, arguments, result.
fn functions() -> Vec<(String, Vec<String>, String)> {
    let mut functions = Vec::new();
    for file in fs::read_dir(source("src")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for after in text.split("#[unsafe(no_mangle)]").skip(1) {
            let (_, after) = after.split_once("extern \"C").unwrap();
            let (_, after) = after.split_once(" fn ").unwrap();
            let (name, after) = after.split_once('(').unwrap();
            let (signature, _) = after.split_once(" {\n").unwrap();
            let (arguments, result) = signature.rsplit_once(')').unwrap();
            let result = result.trim().trim_start_matches("->").trim();
            // An argument's own arguments have commas, too: an argument begins with its name.
            let mut found: Vec<String> = Vec::new();
            for piece in arguments.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
                match piece.split_once(": ") {
                    Some((argument, ty)) if argument.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                        found.push(ty.to_owned());
                    }
                    _ => *found.last_mut().unwrap() += &format!(", {piece}"),
                }
            }
            functions.push((name.to_owned(), found, result.to_owned()));
        }
    }
    assert!(functions.len() > 50);
    functions
}

/// A type of Rust's in C, without `const`.
fn in_c(ty: &str) -> String {
    if let Some(pointee) = ty.strip_prefix("*mut ").or_else(|| ty.strip_prefix("*const ")) {
        return format!("{} *", in_c(pointee));
    }
    if let Some(callback) = ty.strip_prefix("Option<unsafe extern \"C\" fn(") {
        let (arguments, result) = callback.strip_suffix('>').unwrap().rsplit_once(')').unwrap();
        let arguments: Vec<String> = arguments.split(", ").map(in_c).collect();
        let result = in_c(result.trim_start_matches(" -> "));
        return format!("__typeof__({result} (*)({}))", arguments.join(", "));
    }
    match ty {
        "" => "void",
        "M" => "struct mbuf *",
        "PacketHandle" => "mbuf_packet_t",
        "PoolHandle" => "mbuf_pool_t",
        "Ifnet" => "struct ifnet",
        "MTag" => "struct m_tag",
        "Uio" => "struct uio",
        "Config" => "struct mbuf_config",
        "MbStat" => "struct mbstat",
        "Drain" => "struct mbuf_drain",
        "isize" => "ssize_t",
        "c_long" => "long",
        "c_int" => "int",
        "c_uint" => "unsigned int",
        "c_char" => "char",
        "c_void" => "void",
        "u16" => "uint16_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        other => panic!("what is {other} in C?"),
    }
    .to_owned()
}

/// Systems with a header of their own, whose functions' names end as its name does.
const SYSTEMS: [&str; 3] = ["freebsd", "netbsd", "dragonfly"];

fn header_of(function: &str) -> String {
    if ["mbuf_packet_", "mbuf_pool_", "mbuf_error_"].iter().any(|handles| function.starts_with(handles)) {
        return "mbuf/packet.h".to_owned();
    }
    let system = SYSTEMS.into_iter().find(|system| function.ends_with(&format!("_{system}")));
    system.map_or_else(|| "mbuf.h".to_owned(), |system| format!("mbuf/{system}.h"))
}

#[test]
fn prototypes_are_those_of_the_library() {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, arguments, result) in functions() {
        let arguments: Vec<String> = arguments.iter().map(|ty| in_c(ty)).collect();
        let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
        let header = header_of(&name);
        let text = texts.entry(header.clone()).or_insert_with(|| {
            let used: String = ["errno", "limits", "stddef", "stdlib", "string", "sys/uio"]
                .map(|header| format!("#include <{header}.h>\n"))
                .concat();
            format!("{used}#define const\n#define volatile\n#include <{header}>\n")
        });
        // A second declaration that differs does not compile, nor does one that is the only one.
        *text += &format!(
            "{} {name}({arguments});\nvoid *use_{name}(void) {{ return (void *)&(({name})); }}\n",
            in_c(&result)
        );
    }
    assert_eq!(texts.len(), 2 + SYSTEMS.len());
    for (header, text) in texts {
        let name = format!("prototypes-{}.c", header.replace(['/', '.'], "-"));
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, text).unwrap();
        for compiler in compilers("c11") {
            // A function's address as a pointer to data is what POSIX allows, and ISO C does not.
            ran(compile(compiler).args(["-Wno-pedantic"]).arg("-fsyntax-only").arg(&file));
        }
    }
}

/// Names that the headers declare as functions of the library.
fn declared() -> BTreeSet<String> {
    let headers = SYSTEMS
        .map(|system| format!("mbuf/{system}.h"))
        .into_iter()
        .chain(["mbuf.h".to_owned(), "mbuf/packet.h".to_owned()]);
    let text: String =
        headers.map(|header| fs::read_to_string(source("include").join(header)).unwrap()).collect();
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| {
        // One with a name for the assembler is declared elsewhere, too.
        line.contains(");")
            && !line.contains("__asm__")
            && !line.starts_with("static")
            && !line.starts_with([' ', '\t', '#'])
    }) {
        let (before, _) = line.split_once('(').unwrap();
        let name = before.rsplit([' ', '*']).next().unwrap();
        names.insert(name.to_owned());
    }
    names.retain(|name| !name.starts_with("__") && !name.ends_with("_t"));
    names
}

#[test]
fn every_function_is_declared_and_every_declared_one_is_there() {
    let sources: BTreeSet<String> = functions().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(sources, declared());
    if !has("nm") {
        return;
    }
    let output = ran(Command::new("nm").args(["-D", "--defined-only"]).arg(libraries().join("libmbuf.so")));
    let text = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<String> =
        text.lines().filter_map(|line| line.split_once(" T ")).map(|(_, name)| name.to_owned()).collect();
    assert_eq!(sources, exported);
}

#[test]
fn the_header_is_clean_in_both_languages() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clean");
    for (standard, ending) in [("c11", "c"), ("c++17", "cc")] {
        let file = file.with_extension(ending);
        fs::write(&file, "#include <mbuf/packet.h>\n#include <mbuf.h>\nint main(void) { struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);\nMCLGET(m, M_NOWAIT); M_PREPEND(m, 3, M_NOWAIT); m_freem(m); return 0; }\n").unwrap();
        for compiler in compilers(standard) {
            ran(compile(compiler).arg("-fsyntax-only").arg(&file));
        }
    }
}

#[test]
fn the_shared_library_has_a_versioned_name() {
    if !has("readelf") {
        return;
    }
    let output = ran(Command::new("readelf").arg("-d").arg(libraries().join("libmbuf.so")));
    assert!(String::from_utf8_lossy(&output.stdout).contains("soname: [libmbuf.so.0]"));
}

/// The manual pages, with the headers that each tells of.
fn pages() -> [(PathBuf, Vec<String>); 2] {
    let systems = SYSTEMS.map(|system| format!("mbuf/{system}.h"));
    let mbuf = systems.into_iter().chain(["mbuf.h".to_owned()]).collect();
    [(source("man/mbuf.9"), mbuf), (source("man/mbuf_packet.9"), vec!["mbuf/packet.h".to_owned()])]
}

/// Names of a header that a program may use: functions, and what is defined, but for what only makes up the header.
fn offered(header: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(source("include").join(header)).unwrap();
    let mut names = declared();
    names.retain(|name| header_of(name) == header);
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("static inline ") {
            let (before, _) = function.split_once('(').unwrap();
            names.insert(before.rsplit([' ', '*']).next().unwrap().to_owned());
        } else if let Some(defined) = line.strip_prefix("#define ") {
            names.insert(defined.split([' ', '(']).next().unwrap().to_owned());
        }
    }
    names.retain(|name| {
        let internal = ["_priv_", "m_extadd_either"].iter().any(|part| name.to_lowercase().contains(part));
        !internal && !name.ends_with("_H")
    });
    names
}

#[test]
fn the_manual_pages_tell_of_every_name() {
    for (page, headers) in pages() {
        let page = fs::read_to_string(page).unwrap();
        let told: BTreeSet<&str> = page.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let prototypes: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".Fn ")?.split_once(' '))
            .filter(|(_, arguments)| arguments.starts_with('"') || *arguments == "void")
            .map(|(name, _)| name)
            .collect();
        for header in headers {
            let offered = offered(&header);
            assert!(offered.len() > 10, "{header}");
            let missing: Vec<&String> = offered.iter().filter(|name| !told.contains(name.as_str())).collect();
            assert_eq!(missing, Vec::<&String>::new(), "{header}");
            // Systems' own functions have the arguments that their headers say.
            let own = declared().into_iter().filter(|name| header_of(name) == header);
            let without: Vec<String> =
                own.filter(|name| !prototypes.contains(name.as_str()) && !name.contains("_priv_")).collect();
            assert!(
                without.is_empty() || SYSTEMS.iter().any(|system| header.contains(system)),
                "{without:?}"
            );
        }
    }
}

#[test]
fn the_manual_pages_are_sound() {
    if !has("mandoc") {
        return;
    }
    for (page, _) in pages() {
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(page).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        // Pages that it refers to may not be installed.
        let faults: Vec<&str> =
            said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert_eq!(faults, Vec::<&str>::new());
    }
}

/// The words of a C file.
fn words(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(source("tests/c").join(file)).unwrap();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
}

#[test]
fn programs_use_every_name() {
    let all: BTreeSet<String> = fs::read_dir(source("tests/c"))
        .unwrap()
        .flat_map(|file| words(file.unwrap().file_name().to_str().unwrap()))
        .collect();
    let missing: Vec<String> = offered("mbuf.h").into_iter().filter(|name| !all.contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
    for system in SYSTEMS {
        let words = words(&format!("{system}.c"));
        let missing: Vec<String> = offered(&format!("mbuf/{system}.h"))
            .into_iter()
            // What a function's name is defined as.
            .filter(|name| !name.ends_with(&format!("_{system}")) && !words.contains(name))
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "{system}");
    }
}
