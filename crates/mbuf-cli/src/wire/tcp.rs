//! TCP headers.

use etherparse::TcpHeaderSlice;
use mbuf::Packet;

use super::{Ip, protocol};

/// Bits of the byte at offset 13.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const URG: u8 = 0x20;
    pub(crate) const CWR: u8 = 0x80;
}

/// A whole TCP segment: offsets from the first byte of the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    /// Where its header starts.
    pub(crate) start: usize,
    /// Where its payload starts.
    pub(crate) payload: usize,
    /// Bytes of payload.
    pub(crate) len: usize,
    /// The sequence number of the first of them.
    pub(crate) sequence: u32,
    /// The flags of the byte at offset 13.
    pub(crate) flags: u8,
}

impl Tcp {
    /// Reads the TCP header of a datagram that is whole and carries TCP.
    pub(crate) fn parse(packet: &Packet, ip: &Ip) -> Option<Self> {
        if ip.protocol != protocol::TCP || ip.fragment.is_some() || ip.cut {
            return None;
        }
        let fixed: [u8; 20] = packet.read_array(ip.payload).ok()?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        let len = ip.end.checked_sub(ip.payload)?.checked_sub(header_len)?;
        let mut scratch = [0; 60];
        let bytes = scratch.get_mut(..header_len)?;
        packet.read_at(ip.payload, bytes).ok()?;
        let header = TcpHeaderSlice::from_slice(bytes).ok()?;
        Some(Self {
            start: ip.payload,
            payload: ip.payload + header_len,
            len,
            sequence: header.sequence_number(),
            flags: fixed[13],
        })
    }
}
