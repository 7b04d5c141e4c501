//! Cutting a packet into pieces, and finding all pieces of one.
//!
//! ```text
//!   cut:    │ head │ payload …………………………… │ ─▶ │ head′│ size │  │ head″│ size │  │ head‴│ rest │
//!                  └ shared, not copied ┘
//!   Pieces: any order ─▶ sorted, disjoint ─▶ join when nothing is missing
//! ```

use mbuf::{OpError, Packet};

use super::Mark;

/// The most pieces of one datagram: 65535 bytes in the smallest fragments there are.
const MAX_PIECES: usize = 8192;

/// One piece about to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Its number, from 0.
    pub(super) index: usize,
    /// Payload bytes in front of it.
    pub(super) offset: usize,
    /// Its payload bytes.
    pub(super) len: usize,
    /// No other follows.
    pub(super) last: bool,
}

/// Cuts the payload of `packet`, which starts at `at`, into pieces of `size` bytes and a rest.
///
/// `head` writes the header of each piece, which then owns it; the payload stays where it is and is shared. Each
/// piece has the metadata of the packet.
///
/// # Errors
/// When the pool is dry. The packet is gone, and `out` is as it was.
pub(super) fn cut(
    mut packet: Packet,
    at: usize,
    size: usize,
    out: &mut Vec<Packet>,
    mut head: impl FnMut(&Packet, Cut, &mut Vec<u8>),
) -> Result<(), OpError> {
    let before = out.len();
    let meta = *packet.meta();
    let mut bytes = Vec::new();
    let mut piece = packet.split_off(at)?;
    drop(packet);
    let (mut index, mut offset) = (0, 0);
    let result = loop {
        let rest = if piece.len() > size {
            match piece.split_off(size) {
                Ok(rest) => Some(rest),
                Err(error) => break Err(error),
            }
        } else {
            None
        };
        let len = piece.len();
        bytes.clear();
        head(&piece, Cut { index, offset, len, last: rest.is_none() }, &mut bytes);
        if let Err(error) = piece.prepend_slice(&bytes) {
            break Err(error);
        }
        *piece.meta_mut() = meta;
        out.push(piece);
        index += 1;
        offset += len;
        match rest {
            Some(rest) => piece = rest,
            None => break Ok(()),
        }
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// The pieces of one datagram that arrived so far, sorted by offset, none overlapping another.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    list: Vec<Piece>,
    bytes: usize,
    total: Option<usize>,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    len: usize,
    /// Bytes of header in front of the payload; only the first piece keeps its header.
    head: usize,
    packet: Packet,
}

/// What became of a piece.
#[derive(Debug)]
pub(super) enum Added {
    /// It is kept.
    New,
    /// It was there already, byte for byte.
    Duplicate(Packet),
    /// It contradicts what is there.
    Conflict(Packet, &'static str),
}

impl Pieces {
    /// Adds a piece: `head` bytes of header, then payload from `start` on; `last` ends the datagram.
    pub(super) fn add(&mut self, start: usize, mut head: usize, mut packet: Packet, last: bool) -> Added {
        let Some(len) = packet.len().checked_sub(head).filter(|&len| len > 0) else {
            return Added::Conflict(packet, "empty piece");
        };
        let Some(end) = start.checked_add(len) else {
            return Added::Conflict(packet, "piece behind the end");
        };
        let known_end = self.list.last().map_or(0, |piece| piece.start + piece.len);
        match self.total {
            Some(total) if end > total || (last && end != total) => {
                return Added::Conflict(packet, "pieces contradict each other");
            }
            None if last && known_end > end => {
                return Added::Conflict(packet, "pieces contradict each other");
            }
            _ => {}
        }
        if start > 0 {
            if packet.trim_front(head).is_err() {
                return Added::Conflict(packet, "empty piece");
            }
            head = 0;
        }
        let at = self.list.partition_point(|piece| piece.start < start);
        if let Some(twin) = self.list.get(at).filter(|piece| piece.start == start && piece.len == len) {
            let same_end = last == (self.total == Some(end));
            return if same_end && payload(&packet, head) == payload(&twin.packet, twin.head) {
                Added::Duplicate(packet)
            } else {
                Added::Conflict(packet, "overlapping pieces")
            };
        }
        let before = at.checked_sub(1).and_then(|before| self.list.get(before));
        let behind = self.list.get(at);
        if before.is_some_and(|piece| piece.start + piece.len > start)
            || behind.is_some_and(|piece| piece.start < end)
        {
            return Added::Conflict(packet, "overlapping pieces");
        }
        if self.list.len() >= MAX_PIECES {
            return Added::Conflict(packet, "too many pieces");
        }
        if last {
            self.total = Some(end);
        }
        self.bytes += len;
        self.list.insert(at, Piece { start, len, head, packet });
        Added::New
    }

    /// Returns the length of the payload when nothing of it is missing.
    pub(super) fn complete(&self) -> Option<usize> {
        self.total.filter(|&total| total == self.bytes)
    }

    /// Joins the pieces behind the header of the first one.
    pub(super) fn join(self) -> Result<Packet, (Mark, OpError)> {
        let mut list = self.list.into_iter().map(|piece| piece.packet);
        let Some(mut whole) = list.next() else { unreachable!("a complete datagram has a piece") };
        for piece in list {
            let mark = Mark::of(&piece);
            whole.append(piece).map_err(|refused| (mark, refused.error))?;
        }
        Ok(whole)
    }

    /// Gives the packets back.
    pub(super) fn into_packets(self) -> impl Iterator<Item = Packet> {
        self.list.into_iter().map(|piece| piece.packet)
    }
}

/// The bytes behind `head`; only looked at for pieces that came twice.
fn payload(packet: &Packet, head: usize) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    bytes.drain(..head.min(bytes.len()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use mbuf::Pool;

    fn packet(pool: &Pool, bytes: &[u8]) -> Packet {
        Packet::from_slice(pool, bytes).unwrap()
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 + at / 256) as u8).collect()
    }

    #[test]
    fn cut_pieces_in_any_order_are_joined() {
        let pool = Pool::new();
        for (len, size) in [(1, 8), (8, 8), (9, 8), (1000, 8), (5000, 1480), (5000, 5000), (4097, 1)] {
            let payload = text(len);
            let whole = packet(&pool, &[b"head", &payload[..]].concat());
            let mut cuts = Vec::new();
            let mut seen = Vec::new();
            cut(whole, 4, size, &mut cuts, |piece, cut, head| {
                assert_eq!(piece.len(), cut.len);
                seen.push(cut);
                head.extend(b"HH");
            })
            .unwrap();
            assert_eq!(seen.iter().map(|cut| cut.len).sum::<usize>(), len);
            let mut random = Random::new(len as u64);
            let mut pieces = Pieces::default();
            let mut order: Vec<_> = cuts.into_iter().zip(seen).collect();
            while !order.is_empty() {
                assert_eq!(pieces.complete(), None);
                let (piece, cut) = order.swap_remove(random.below(order.len()));
                assert!(matches!(pieces.add(cut.offset, 2, piece, cut.last), Added::New));
            }
            assert_eq!(pieces.complete(), Some(len));
            let joined = pieces.join().unwrap();
            assert_eq!(joined, [b"HH", &payload[..]].concat());
            drop(joined);
            assert_eq!(pool.stats().mbufs.current, 0);
        }
    }

    #[test]
    fn exact_duplicates_are_told_from_overlaps() {
        let pool = Pool::new();
        let mut pieces = Pieces::default();
        let mut add = |start, bytes: &[u8], last| pieces.add(start, 0, packet(&pool, bytes), last);
        assert!(matches!(add(8, b"12345678", false), Added::New));
        assert!(matches!(add(8, b"12345678", false), Added::Duplicate(_)));
        assert!(matches!(add(8, b"12345679", false), Added::Conflict(..)));
        assert!(matches!(add(8, b"1234", false), Added::Conflict(..)));
        assert!(matches!(add(0, b"123456789", false), Added::Conflict(..)));
        assert!(matches!(add(15, b"x", false), Added::Conflict(..)));
        assert!(matches!(add(0, b"12345678", true), Added::Conflict(..)), "the end in front of a piece");
        assert!(matches!(add(16, b"end", true), Added::New));
        assert!(matches!(add(16, b"end", false), Added::Conflict(..)));
        assert!(matches!(add(16, b"end!", true), Added::Conflict(..)));
        assert!(matches!(add(19, b"more", false), Added::Conflict(..)));
        assert!(matches!(add(0, b"", false), Added::Conflict(..)));
        assert!(matches!(add(usize::MAX, b"x", false), Added::Conflict(..)));
        assert!(matches!(add(0, b"abcdefgh", false), Added::New));
        assert_eq!(pieces.complete(), Some(19));
        assert_eq!(pieces.join().unwrap(), b"abcdefgh12345678end");
        assert_eq!(pool.stats().mbufs.current, 0);
    }
}
