//! A system without `membarrier(2)`: the kernel is told to deny it. One test, for it concerns the whole process.
//! Where no such filter can be installed it says so, unless `MBUF_REQUIRE_SECCOMP` is set. Miri has none.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)]

mod common;

use std::sync::Barrier;
use std::{io, thread};

use common::Pages;
use mbuf_zone::{Cause, Zone, flush_thread};

/// From now on `membarrier` fails with `ENOSYS` in this thread and those it makes.
fn deny_membarrier() -> io::Result<()> {
    let op = |code: u32, jump, otherwise, value| libc::sock_filter {
        code: code as u16,
        jt: jump,
        jf: otherwise,
        k: value,
    };
    let mut program = [
        // The number of the system call is at the front of `seccomp_data`.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_membarrier as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program lives through the calls, which copy it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn without_membarrier_limits_are_exact_and_zones_end_all_the_same() {
    if let Err(error) = deny_membarrier() {
        assert!(std::env::var_os("MBUF_REQUIRE_SECCOMP").is_none(), "{error}");
        println!("not tested, no filter can be installed here: {error}");
        return;
    }
    let pages = Pages::default();
    let zone = Zone::<usize>::builder().limit(30).magazine(4).pages(pages.clone()).build();
    let (full, over) = (Barrier::new(4), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let held: Vec<_> = (0..10).map(|i| zone.get(i).unwrap()).collect();
                full.wait();
                drop(held);
                full.wait();
                over.wait();
            });
        }
        full.wait();
        full.wait();
        let all: Vec<_> = (0..30).map(|i| zone.get(i).unwrap()).collect();
        assert_eq!(zone.get(0).unwrap_err().0.cause, Cause::Limit);
        drop(all);
        over.wait();
    });
    let last = zone.get(1).unwrap();
    assert_eq!(zone.stats().in_use, 1);
    zone.trim();
    drop(zone);
    drop(last);
    flush_thread();
    pages.assert_all_home();
}
