//! Damaged captures: exit status 1, a message that says where, and everything in front of the damage processed.

mod common;

use common::*;

/// Name, frames in front of the damage, byte offset of the damage, part of the message.
const DAMAGED: [(&str, usize, &str); 3] = [
    ("extra/cut-mid-frame.pcap", 4, "the file ends inside a frame"),
    ("extra/cut-mid-block.pcapng", 4, "the file ends inside a packet block"),
    ("extra/bad-length.pcap", 3, "captured bytes, at most"),
];

#[test]
fn what_could_be_read_is_processed_and_written() {
    for (name, frames, what) in DAMAGED {
        let (capture, out) = (captures().join(name), temp("before-damage.pcapng"));
        let (capture, out_name) = (capture.to_str().unwrap(), out.to_str().unwrap());
        let ran = replay(&[capture, "--out", out_name, "--json"]);
        assert_eq!(ran.status, Some(1), "{name}");
        assert!(ran.stderr.starts_with(&format!("mbufctl: {capture}: frame {}, byte offset ", frames + 1)));
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
        let report = ran.json();
        assert_eq!(report["capture"]["damage"]["frame"], frames + 1);
        assert_eq!(report["proof"]["identical"], frames);
        assert_eq!(read(&out).len(), frames);

        let offset = report["capture"]["damage"]["offset"].as_u64().unwrap() as usize;
        let file = std::fs::read(capture).unwrap();
        assert!(offset <= file.len());
        // The damage starts where the last good frame ends.
        let last = &read(&out)[frames - 1].bytes;
        let end = file.windows(last.len()).rposition(|bytes| bytes == last).unwrap() + last.len();
        assert!((end..end + 8).contains(&offset), "{offset} {end}");
    }
}

#[test]
fn the_embedded_capture_cut_at_random_places() {
    let file = std::fs::read(embedded()).unwrap();
    let whole = read(&embedded());
    let (path, out) = (temp("cut-anywhere.pcapng"), temp("cut-anywhere-out.pcapng"));
    let mut random = Random(11);
    for _ in 0..40 {
        let len = random.below(file.len());
        std::fs::write(&path, &file[..len]).unwrap();
        let ran = replay(&[path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let frames = read(&out);
        assert_eq!(frames[..], whole[..frames.len()]);
        match ran.status {
            Some(1) => {
                assert!(ran.stderr.contains(&format!("frame {},", frames.len() + 1)), "{}", ran.stderr)
            }
            status => assert_eq!((status, ran.stderr.as_str()), (Some(0), "")), // between two blocks
        }
    }
}

#[test]
fn the_embedded_capture_with_bytes_overwritten() {
    let file = std::fs::read(embedded()).unwrap();
    let path = temp("overwritten.pcapng");
    let mut random = Random(12);
    for _ in 0..40 {
        let mut file = file.clone();
        for _ in 0..20 {
            let at = random.below(file.len());
            file[at] = random.next() as u8;
        }
        let at = random.below(file.len() - 4) & !3;
        file[at..at + 4].copy_from_slice(&[0xff; 4]);
        std::fs::write(&path, &file).unwrap();
        let ran = replay(&[path.to_str().unwrap(), "--check"]);
        let expected = if ran.stderr.is_empty() { Some(0) } else { Some(1) };
        assert_eq!(ran.status, expected, "{}", ran.stderr);
        assert_eq!(ran.stderr.is_empty(), !ran.stderr.contains("byte offset"), "{}", ran.stderr);
    }
}

#[test]
fn files_that_are_not_there_or_not_writable() {
    let ran = replay(&["/nonexistent/capture.pcap"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("mbufctl: cannot open /nonexistent/capture.pcap: "), "{}", ran.stderr);
    for option in ["--out", "--plot"] {
        let ran = replay(&[option, "/nonexistent/file"]);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.starts_with("mbufctl: cannot write /nonexistent/file: "), "{}", ran.stderr);
    }
}

#[test]
fn nothing_is_overwritten_that_is_in_use() {
    let (path, other) = (temp("precious.pcap"), temp("precious.out"));
    std::fs::copy(captures().join("extra/usec-le.pcap"), &path).unwrap();
    let (capture, other) = (path.to_str().unwrap(), other.to_str().unwrap());
    for args in [
        [capture, "--out", capture, "--check", "--json"],
        [capture, "--plot", capture, "--check", "--json"],
        [capture, "--plot", other, "--out", other],
    ] {
        let ran = replay(&args);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("would be overwritten"), "{}", ran.stderr);
    }
    assert_eq!(read(&path).len(), 24);
}
