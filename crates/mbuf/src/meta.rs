//! What a packet header says beside lengths: plain data, carried for drivers and stacks.

use core::fmt;

/// Metadata of a packet.
///
/// The library carries these fields and gives them no meaning of its own. Sharing, duplicating and splitting copy
/// them; concatenation keeps those of the first packet.
//
// Invariant:
// 1. There is no padding: where a header was, inline data comes to lie, and that is initialised memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Meta {
    /// Interface the packet was received on, or is to leave by (`rcvif`).
    pub interface: u32,
    /// Checksum offload flags (`csum_flags`).
    pub checksum_flags: u32,
    /// Checksum offload data: a start offset, or the sum that hardware computed (`csum_data`).
    pub checksum_data: u32,
    /// TCP segment size for segmentation offload, in bytes (`tso_segsz`).
    pub tso_segment: u16,
    /// VLAN tag control information (`ether_vtag`).
    pub vlan_tag: u16,
    /// Flow identifier, such as an RSS hash (`flowid`).
    pub flow_id: u32,
    /// What `flow_id` is a hash of (`rsstype`).
    pub hash_type: u8,
    /// Precision of `timestamp`: 0 none, otherwise the driver's business.
    pub timestamp_kind: u8,
    /// Link-level header, in bytes.
    pub l2_len: u16,
    /// Transport header, in bytes.
    pub l4_len: u16,
    /// Network header, in bytes.
    pub l3_len: u16,
    /// The user's.
    pub priority: u32,
    /// Time of reception in nanoseconds, of whatever clock the driver uses (`rcv_tstmp`).
    pub timestamp: u64,
    /// Eight bytes for the user that stay with the packet.
    pub user: [u8; 8],
    /// Eight bytes for the layer that has the packet; the next layer may overwrite them.
    pub scratch: [u8; 8],
}

const _: () = assert!(size_of::<Meta>() == 5 * 4 + 5 * 2 + 2 + 8 + 8 + 8);

impl Meta {
    /// All zero.
    pub const EMPTY: Self = Meta {
        interface: 0,
        checksum_flags: 0,
        checksum_data: 0,
        tso_segment: 0,
        vlan_tag: 0,
        flow_id: 0,
        hash_type: 0,
        timestamp_kind: 0,
        l2_len: 0,
        l4_len: 0,
        l3_len: 0,
        priority: 0,
        timestamp: 0,
        user: [0; 8],
        scratch: [0; 8],
    };
}

impl Default for Meta {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// What an mbuf holds (`m_type`): bookkeeping for statistics and for stacks that mix data and control.
///
/// Bytes keep their type: copies and parts of a segment have its type, and where segments are joined it is that of the
/// first byte. New bytes have the type of those they are put beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum MbufType {
    /// Dynamic data (`MT_DATA`).
    #[default]
    Data = 1,
    /// A packet header (`MT_HEADER`).
    Header = 2,
    /// A socket name (`MT_SONAME`).
    SocketName = 3,
    /// Ancillary data (`MT_CONTROL`).
    Control = 4,
    /// Out-of-band data (`MT_OOBDATA`).
    OutOfBand = 5,
}

impl MbufType {
    /// All types.
    pub const ALL: [MbufType; 5] =
        [MbufType::Data, MbufType::Header, MbufType::SocketName, MbufType::Control, MbufType::OutOfBand];

    pub(crate) fn from_bits(bits: u8) -> Self {
        match bits {
            2 => MbufType::Header,
            3 => MbufType::SocketName,
            4 => MbufType::Control,
            5 => MbufType::OutOfBand,
            _ => MbufType::Data,
        }
    }
}

/// Flags of a segment that stacks and drivers set (`m_flags`). Sixteen bits; those without a name are the user's
/// protocol flags.
///
/// On the first segment of a packet all but [`END_OF_RECORD`](Self::END_OF_RECORD) are the packet's: they stay with
/// its header whatever becomes of the segment, are copied with it, and dropped with it. Elsewhere they are the
/// segment's: parts and copies have them, and where segments are joined all are set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// The last byte of the segment is the last of a record (`M_EOR`).
    ///
    /// The mark stays with that byte: cuts, copies and joints take it along, and what is put behind it goes into
    /// another segment. Where bytes behind it are joined to it all the same, as by `make_contiguous`, the joint segment
    /// has it. A record that is trimmed at its end ends with what is left of it. An empty segment ends no record: there
    /// it cannot be set.
    pub const END_OF_RECORD: Flags = Flags(1);
    /// Sent or received as a link-level broadcast (`M_BCAST`).
    pub const BROADCAST: Flags = Flags(1 << 1);
    /// Sent or received as a link-level multicast (`M_MCAST`).
    pub const MULTICAST: Flags = Flags(1 << 2);
    /// Not for us (`M_PROMISC`).
    pub const PROMISCUOUS: Flags = Flags(1 << 3);
    /// `Meta::vlan_tag` is valid (`M_VLANTAG`).
    pub const VLAN_TAG: Flags = Flags(1 << 4);
    /// All protocol flags (`M_PROTO1` …): to be cleared when a packet is handed to another layer.
    pub const PROTOCOL: Flags = Flags(0xffe0);

    /// The n-th protocol flag, 0 to 10 (`M_PROTO1` is 0).
    ///
    /// # Panics
    /// If `n` is over 10.
    pub const fn protocol(n: u32) -> Flags {
        assert!(n <= 10, "there are eleven protocol flags");
        Flags(1 << (5 + n))
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags without those.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// The names of the flags that are set.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 5] = ["END_OF_RECORD", "BROADCAST", "MULTICAST", "PROMISCUOUS", "VLAN_TAG"];
        f.write_str("Flags(")?;
        let set = (0..16).filter(|bit| self.0 & (1 << bit) != 0);
        for (n, bit) in set.enumerate() {
            let separator = if n > 0 { " | " } else { "" };
            match NAMES.get(bit) {
                Some(name) => write!(f, "{separator}{name}")?,
                None => write!(f, "{separator}protocol({})", bit - NAMES.len())?,
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn flags_print_their_names() {
        assert_eq!(format!("{:?}", Flags::default()), "Flags()");
        let flags = Flags::BROADCAST.with(Flags::VLAN_TAG).with(Flags::protocol(0)).with(Flags::protocol(10));
        assert_eq!(format!("{flags:?}"), "Flags(BROADCAST | VLAN_TAG | protocol(0) | protocol(10))");
    }
}
