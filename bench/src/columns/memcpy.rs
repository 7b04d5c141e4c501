//! Nothing but the copy, from one flat buffer to another: what the machine allows.

use crate::column::{Cell, Column, keep};
use crate::seen::{Flat, Seen, pattern};

pub struct Memcpy {
    from: &'static [u8],
    to: Box<Flat>,
}

impl Column for Memcpy {
    fn open(_: usize) -> Result<Self, String> {
        Ok(Memcpy { from: pattern(9000), to: Flat::new() })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("duplicate 64 B", copy_64),
            cell!("duplicate 1500 B", copy_1500),
            cell!("duplicate 9000 B of 6 segments", copy_9000),
            cell!("duplicate 9000 B of 1 segment", copy_9000),
            cell!("copy out 1500 B", copy_1500),
            cell!("copy in 1500 B", copy_1500),
            cell!("copy out 9000 B of 6 segments", copy_9000),
        ]
    }
}

#[inline(always)]
fn copy<const SEE: bool>(s: &mut Memcpy, len: usize, n: u64, seen: &mut Seen) {
    let from = &s.from[..len];
    let to = &mut s.to.beside(from.as_ptr())[..len];
    for _ in 0..n {
        keep(from.as_ptr());
        to.copy_from_slice(from);
        keep(to.as_ptr());
    }
    if SEE {
        seen.packet(to);
    }
}

fn copy_64<const SEE: bool>(s: &mut Memcpy, n: u64, seen: &mut Seen) {
    copy::<SEE>(s, 64, n, seen);
}

fn copy_1500<const SEE: bool>(s: &mut Memcpy, n: u64, seen: &mut Seen) {
    copy::<SEE>(s, 1500, n, seen);
}

fn copy_9000<const SEE: bool>(s: &mut Memcpy, n: u64, seen: &mut Seen) {
    copy::<SEE>(s, 9000, n, seen);
}
