//! What comes out is what came in, byte for byte.

use std::collections::HashMap;

use mbuf::Packet;
use mbuf_io::Frame;

use crate::stage::Mark;

/// Compares frames that come out with copies kept outside of the pool.
#[derive(Default)]
pub(super) struct Proof {
    expected: HashMap<u32, Expected>,
    /// Frames that came back as they were.
    pub(super) identical: u64,
    /// Frames that came back otherwise.
    pub(super) different: u64,
    /// Packets that belong to no frame that is still expected.
    pub(super) unexpected: u64,
    /// Frames of which a packet was dropped.
    pub(super) lost: u64,
    /// What was wrong with the first that differed.
    pub(super) first_difference: Option<String>,
}

struct Expected {
    bytes: Vec<u8>,
    interface: u32,
    timestamp: u64,
    missing: u32,
}

impl Proof {
    /// Keeps a copy of a frame.
    pub(super) fn expect(&mut self, frame: &Frame<'_>, mark: Mark) {
        let expected = Expected {
            bytes: frame.data.to_vec(),
            interface: frame.interface,
            timestamp: frame.timestamp,
            missing: mark.missing,
        };
        self.expected.insert(mark.frame, expected);
    }

    /// A packet of this frame was dropped: do not wait for it.
    pub(super) fn lost(&mut self, frame: u32) {
        if self.expected.remove(&frame).is_some() {
            self.lost += 1;
        }
    }

    /// Compares a packet with the frame it should be.
    pub(super) fn compare(&mut self, packet: &Packet) {
        let mark = Mark::of(packet);
        let Some(expected) = self.expected.remove(&mark.frame) else {
            self.unexpected += 1;
            return;
        };
        match difference(&expected, packet, mark) {
            None => self.identical += 1,
            Some(what) => {
                self.different += 1;
                self.first_difference.get_or_insert(format!("frame {}: {what}", mark.frame));
            }
        }
    }

    /// Frames that neither came back nor were dropped.
    pub(super) fn absent(&self) -> u64 {
        self.expected.len() as u64
    }

    /// Nothing differs, nothing is absent, nothing came twice.
    pub(super) fn holds(&self) -> bool {
        self.different == 0 && self.unexpected == 0 && self.expected.is_empty()
    }
}

fn difference(expected: &Expected, packet: &Packet, mark: Mark) -> Option<String> {
    if *packet != expected.bytes {
        let bytes = packet.to_vec();
        let at = bytes.iter().zip(&expected.bytes).position(|(found, wanted)| found != wanted);
        let at = at.unwrap_or(bytes.len().min(expected.bytes.len()));
        return Some(format!(
            "{} bytes in, {} out, the first difference at {at}",
            expected.bytes.len(),
            bytes.len()
        ));
    }
    let meta = packet.meta();
    if (meta.interface, meta.timestamp) != (expected.interface, expected.timestamp) {
        return Some("its interface or time changed".into());
    }
    (mark.missing != expected.missing).then(|| "its original length changed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mbuf::Pool;

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame { number: 1, offset: 0, interface: 0, timestamp: 5, original_len: 9, data }
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let pool = Pool::new();
        let mark = Mark { frame: 7, missing: 6 };
        type Change = fn(&mut Packet);
        let changes: [(&str, Change); 5] = [
            ("", |_| ()),
            ("first difference at 1", |packet| packet.write_at(1, b"x").unwrap()),
            ("3 bytes in, 4 out, the first difference at 3", |packet| {
                packet.extend_from_slice(b"d").unwrap()
            }),
            ("interface or time", |packet| packet.meta_mut().timestamp += 1),
            ("original length", |packet| Mark { frame: 7, missing: 0 }.put(packet)),
        ];
        for (what, change) in changes {
            let mut proof = Proof::default();
            proof.expect(&frame(b"abc"), mark);
            let mut packet = frame(b"abc").into_packet(&pool).unwrap();
            mark.put(&mut packet);
            change(&mut packet);
            proof.compare(&packet);
            assert_eq!(proof.holds(), what.is_empty());
            assert!(proof.first_difference.unwrap_or_default().contains(what));
        }
    }

    #[test]
    fn absent_lost_and_repeated_frames() {
        let pool = Pool::new();
        let mut proof = Proof::default();
        for frame_number in 1..=3 {
            proof.expect(&frame(b"abc"), Mark { frame: frame_number, missing: 6 });
        }
        assert_eq!(proof.absent(), 3);
        proof.lost(1);
        proof.lost(1);
        assert_eq!((proof.lost, proof.absent()), (1, 2));
        let mut packet = frame(b"abc").into_packet(&pool).unwrap();
        Mark { frame: 2, missing: 6 }.put(&mut packet);
        proof.compare(&packet);
        proof.compare(&packet);
        assert_eq!((proof.identical, proof.unexpected, proof.absent()), (1, 1, 1));
        assert!(!proof.holds());
    }
}
