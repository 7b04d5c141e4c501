//! The header of an opaque chunk.

use mbuf_io::LinkType;

use crate::wire::{u16_at, u32_at};

/// IEEE 802 "local experimental" EtherType 1.
const LOCAL_EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// Locally administered addresses of the tunnel's two ends.
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// What a chunk belongs to.
///
/// ```text
///   0         12      14           16         18      22       26       30        34
///   │ addresses │ 88b5 │ link type │ reserved │ frame │ length │ offset │ missing │ chunk …
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    /// The frame's link type.
    pub(super) link: LinkType,
    /// A number that the chunks of a frame share.
    pub(super) frame: u32,
    /// Bytes of the frame, all chunks together.
    pub(super) length: u32,
    /// Bytes of the frame in front of this chunk.
    pub(super) offset: u32,
    /// Bytes of the frame that its capture did not keep.
    pub(super) missing: u32,
}

impl Carrier {
    /// Bytes it takes.
    pub(super) const LEN: usize = 34;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..12].copy_from_slice(&ADDRESSES);
        bytes[12..14].copy_from_slice(&LOCAL_EXPERIMENT);
        bytes[14..16].copy_from_slice(&self.link.0.to_be_bytes());
        for (at, field) in [(18, self.frame), (22, self.length), (26, self.offset), (30, self.missing)] {
            bytes[at..at + 4].copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads a carrier; `None` when the EtherType is another.
    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        (bytes[12..14] == LOCAL_EXPERIMENT).then(|| Self {
            link: LinkType(u16_at(bytes, 14)),
            frame: u32_at(bytes, 18),
            length: u32_at(bytes, 22),
            offset: u32_at(bytes, 26),
            missing: u32_at(bytes, 30),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let carrier =
            Carrier { link: LinkType(276), frame: 1, length: 0x0203_0405, offset: u32::MAX, missing: 7 };
        assert_eq!(Carrier::from_bytes(&carrier.to_bytes()), Some(carrier));
        assert_eq!(Carrier::from_bytes(&[0; Carrier::LEN]), None);
    }
}
