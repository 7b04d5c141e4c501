//! `mirror`: two packets, the same bytes, none copied; a write to one is not seen in the other.

use mbuf::{OpError, Packet};

use super::{Desk, Stage};

/// Bytes at each end of the original that are overwritten to see whether the mirror notices.
const SCRIBBLE: usize = 64;

/// Shares each packet, writes to the original, compares the mirror, and restores the original.
///
/// Mirrors live until the end of the window, as if they waited at a slow port.
#[derive(Default)]
pub(crate) struct Mirror {
    mirrors: Vec<Packet>,
}

impl Stage for Mirror {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        let before = packet.to_vec();
        let mirror = match packet.share_mut() {
            Ok(mirror) => mirror,
            Err(error) => return desk.drop(packet, &error),
        };
        if mirror != before {
            desk.violation("a fresh mirror differs");
        }
        match scribble(&mut packet, &before) {
            Ok(()) if packet == before && !before.is_empty() => desk.violation("a write was lost"),
            Ok(()) => {}
            Err(error) => return desk.drop(packet, &error),
        }
        if mirror == before {
            desk.note("mirrors", "unaffected by writes");
        } else {
            desk.violation("a mirror changed with the original");
        }
        self.mirrors.push(mirror);
        match restore(&mut packet, &before) {
            Ok(()) => desk.pass(packet),
            Err(error) => desk.drop(packet, &error),
        }
    }

    fn end_of_window(&mut self, _: &mut Desk<'_>) {
        self.mirrors.clear();
    }
}

/// Inverts the first and last bytes.
fn scribble(packet: &mut Packet, before: &[u8]) -> Result<(), OpError> {
    for (at, bytes) in ends(before) {
        let mut inverted = [0; SCRIBBLE];
        let inverted = &mut inverted[..bytes.len()];
        for (place, byte) in inverted.iter_mut().zip(bytes) {
            *place = !byte;
        }
        packet.write_at(at, inverted)?;
    }
    Ok(())
}

fn restore(packet: &mut Packet, before: &[u8]) -> Result<(), OpError> {
    for (at, bytes) in ends(before) {
        packet.write_at(at, bytes)?;
    }
    Ok(())
}

/// The first and the last bytes, with their offsets. They may overlap.
fn ends(bytes: &[u8]) -> [(usize, &[u8]); 2] {
    let len = bytes.len().min(SCRIBBLE);
    let tail = bytes.len() - len;
    [(0, &bytes[..len]), (tail, &bytes[tail..])]
}
