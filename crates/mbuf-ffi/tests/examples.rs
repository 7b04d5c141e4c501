//! The examples in C do what they say.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{build, compilers, ran};

/// An example, compiled by each compiler there is.
fn built(name: &str) -> impl Iterator<Item = Command> {
    let file = format!("examples/{name}.c");
    compilers("c11").map(move |compiler| Command::new(build(compiler, &file, &[])))
}

fn says(command: &mut Command) -> String {
    String::from_utf8(ran(command).stdout).unwrap()
}

#[test]
fn datagrams_come_back_from_the_echo_server() {
    const SIZES: [usize; 7] = [0, 1, 100, 2048, 9216, 20000, 65507];
    for mut server in built("echo") {
        let mut server = server.args(["0", &SIZES.len().to_string()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.connect(("127.0.0.1", port)).unwrap();
        let mut got = vec![0; 65536];
        for size in SIZES {
            let sent: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            assert_eq!(client.send(&sent).unwrap(), size);
            let n = client.recv(&mut got).unwrap();
            assert!(got[..n] == sent[..], "{size} bytes came back as {n} others");
        }
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "mbufs in use: 0\n");
        assert!(server.wait().unwrap().success());
    }
}

#[test]
fn a_packet_is_cut_into_fragments() {
    for mut fragment in built("fragment") {
        let program = fragment.get_program().to_owned();
        assert_eq!(
            says(fragment.args(["5000", "1500"])),
            "1500 bytes from 0 on, more to come\n1500 bytes from 1480 on, more to come\n\
             1500 bytes from 2960 on, more to come\n580 bytes from 4440 on\n"
        );
        assert_eq!(says(Command::new(&program).args(["100", "1500"])), "120 bytes from 0 on\n");
        let smallest = says(Command::new(&program).args(["20000", "28"]));
        assert_eq!(smallest.lines().count(), 20000_usize.div_ceil(8));
        assert!(!smallest.contains("WRONG"));
        let refused = Command::new(&program).args(["100", "27"]).output().unwrap();
        assert_eq!(String::from_utf8(refused.stderr).unwrap(), "fragment: not possible\n");
    }
}

#[test]
fn memory_of_ones_own_comes_back() {
    for mut foreign in built("foreign") {
        assert_eq!(
            says(&mut foreign),
            "sent: 1 out, bytes shared: yes\ntwo of three freed: 1 out\n\
             the last freed, on another thread: 0 out\n"
        );
    }
}
