//! What came out of a row: the same for every column, whatever its buffers are called.

use std::ops::Range;

const FLAT: usize = 9216;
const PAGE: usize = 4096;

/// Flat memory for copies.
pub struct Flat {
    bytes: [u8; FLAT + PAGE],
    turn: usize,
}

impl Flat {
    pub fn new() -> Box<Flat> {
        Box::new(Flat { bytes: [0; FLAT + PAGE], turn: 0 })
    }

    /// That of it which lies as copies from or to `other` cost least, and the same for all columns: addresses that are
    /// alike within a line, and differ within a page. Where those of a load and of an earlier store are nearly equal there,
    /// the processor has the load wait; where a copy comes to a page's end in the middle of a step, it takes twice as
    /// long. So each time it lies elsewhere, and the best samples are those without either.
    pub fn beside(&mut self, other: *const u8) -> &mut [u8] {
        self.turn = (self.turn + 1) % 8;
        let away = PAGE / 2 - 512 + self.turn * 256;
        let start = (other.addr() + away).wrapping_sub(self.bytes.as_ptr().addr()) % PAGE;
        &mut self.bytes[start..][..FLAT]
    }
}

/// The bytes that all packets are made of: neighbours differ, and so do blocks.
// SAFETY: no other symbol has this name; C declares it as the array.
#[unsafe(no_mangle)]
pub static bench_pattern: Lines = Lines(pattern_bytes());

/// Begins with a cache line, as packets' data does.
#[repr(C, align(64))]
pub struct Lines([u8; FLAT]);

const fn pattern_bytes() -> [u8; FLAT] {
    let mut bytes = [0; FLAT];
    let mut i = 0;
    while i < FLAT {
        bytes[i] = ((i as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8;
        i += 1;
    }
    bytes
}

/// The first `n` bytes of what packets are made of.
pub fn pattern(n: usize) -> &'static [u8] {
    &bench_pattern.0[..n]
}

/// What a row is to give.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// So many buffers at the same time, none over another, with room for so many bytes each.
    Rooms(usize, usize),
    /// Packets with these bytes.
    Packets(Vec<Vec<u8>>),
}

/// What one round of a row gave.
#[derive(Default)]
pub struct Seen {
    packets: Vec<Vec<u8>>,
    open: Vec<u8>,
    rooms: Vec<Range<usize>>,
}

impl Seen {
    /// The next bytes of a packet.
    pub fn part(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    /// That was all of the packet.
    pub fn end(&mut self) {
        self.packets.push(std::mem::take(&mut self.open));
    }

    /// A packet in one piece.
    pub fn packet(&mut self, bytes: &[u8]) {
        self.part(bytes);
        self.end();
    }

    /// An empty buffer, which lives until the round ends.
    pub fn room(&mut self, room: &mut [u8]) {
        // Written to, for what is not really there.
        room.fill(0xa5);
        let start = room.as_ptr() as usize;
        self.rooms.push(start..start + room.len());
    }

    /// Whether it is what the row is to give; if not, how it differs.
    pub fn verify(mut self, expected: &Expected) -> Result<(), String> {
        match expected {
            Expected::Rooms(count, size) => {
                if self.rooms.len() != *count {
                    return Err(format!("{} buffers, not {count}", self.rooms.len()));
                }
                if let Some(small) = self.rooms.iter().find(|room| room.len() < *size) {
                    return Err(format!("a buffer of {} bytes, not {size}", small.len()));
                }
                self.rooms.sort_by_key(|room| room.start);
                match self.rooms.windows(2).any(|pair| pair[1].start < pair[0].end) {
                    true => Err("a buffer over another".into()),
                    false => Ok(()),
                }
            }
            Expected::Packets(packets) => {
                let lengths = |packets: &[Vec<u8>]| packets.iter().map(Vec::len).collect::<Vec<_>>();
                let (wanted, got) = (lengths(packets), lengths(&self.packets));
                match () {
                    () if wanted != got => Err(format!("packets of {got:?} bytes, not {wanted:?}")),
                    () if *packets != self.packets => Err("other bytes than expected".into()),
                    () => Ok(()),
                }
            }
        }
    }
}

/// For the columns in C.
mod c {
    use super::Seen;

    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bench_part(seen: *mut Seen, bytes: *const u8, len: usize) {
        // SAFETY: C hands on the pointer it was given, and bytes that it may read.
        unsafe { (*seen).part(std::slice::from_raw_parts(bytes, len)) }
    }

    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bench_end(seen: *mut Seen) {
        // SAFETY: C hands on the pointer it was given.
        unsafe { (*seen).end() }
    }

    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bench_room(seen: *mut Seen, room: *mut u8, len: usize) {
        // SAFETY: C hands on the pointer it was given, and a buffer of its own, which is written before it is read.
        unsafe {
            room.write_bytes(0, len);
            (*seen).room(std::slice::from_raw_parts_mut(room, len))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_compared_by_length_and_bytes() {
        let look = |bytes: &[u8]| {
            let mut seen = Seen::default();
            seen.part(&bytes[..1]);
            seen.part(&bytes[1..]);
            seen.end();
            seen.verify(&Expected::Packets(vec![b"abc".to_vec()]))
        };
        assert_eq!(look(b"abc"), Ok(()));
        assert_eq!(look(b"abd"), Err("other bytes than expected".into()));
        assert_eq!(look(b"ab"), Err("packets of [2] bytes, not [3]".into()));
    }

    #[test]
    fn rooms_are_counted_measured_and_apart() {
        let look = |rooms: &[Range<usize>]| {
            let mut memory = [0; 100];
            let mut seen = Seen::default();
            rooms.iter().for_each(|room| seen.room(&mut memory[room.clone()]));
            seen.verify(&Expected::Rooms(2, 10))
        };
        assert_eq!(look(&[50..60, 0..50]), Ok(()));
        assert_eq!(look(&[50..60, 0..51]), Err("a buffer over another".into()));
        assert_eq!(look(&[50..60, 0..9]), Err("a buffer of 9 bytes, not 10".into()));
        assert_eq!(look(&[]), Err("0 buffers, not 2".into()));
    }
}
