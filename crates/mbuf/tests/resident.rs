//! Memory goes back to the system, as the system counts it. Alone in its process: it measures all of it.
//! AddressSanitizer keeps what is freed.
#![cfg(all(target_os = "linux", not(any(miri, mbuf_asan))))]

use std::thread;

use mbuf::{Mmap, Packet, Pool};
use mbuf_testkit::assert_empty;

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn trim_gives_the_memory_back_to_the_system() {
    const BUFFERS: usize = 40_000;
    let pool = Pool::builder().pages(Mmap::new()).build().unwrap();
    let take = |n| -> Vec<Packet> {
        let packet = |i: usize| {
            let mut packet = Packet::with_cluster(&pool).unwrap();
            packet.extend_from_slice(&[i as u8; 1500]).unwrap();
            packet
        };
        (0..n).map(packet).collect()
    };
    drop(take(100));
    let floor = resident();
    let all = take(BUFFERS);
    let full = resident();
    assert!(full - floor > BUFFERS * 1500, "{full} bytes in use, {floor} before");
    thread::scope(|scope| {
        scope.spawn(move || drop(all));
    });
    let trimmed = pool.trim();
    let after = resident();
    println!("resident: {floor} bytes, {full} in use, {after} after trim, which gave {trimmed}");
    assert!(trimmed > BUFFERS * 2048);
    // Within a hundredth of what was in use: the vector's own memory, and that of the thread.
    assert!(after < floor + (full - floor) / 100 + (1 << 20), "{after} bytes after trim, {floor} before");
    assert_empty(&pool);
}
