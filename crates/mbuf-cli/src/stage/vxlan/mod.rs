//! `vxlan` and `decapsulate`: a tunnel for frames of any kind.
//!
//! ```text
//!   Ethernet frame, whole:   │ Ethernet │ IPv4 or IPv6 │ UDP 4789 │ VXLAN, VNI │ the frame │
//!   anything else:           │ Ethernet │ IPv4 or IPv6 │ UDP 4789 │ VXLAN, VNI │ carrier │ a chunk of the frame │
//! ```
//!
//! The network identifier (VNI) is the frame's interface, counted from 1. Frames that are not Ethernet, that a
//! capture cut, or that are too long for one datagram travel as opaque chunks: the carrier is an Ethernet header
//! with the EtherType for local experiments, and a header that says what the chunk belongs to. The VNI's top bit
//! is set for them.

mod carrier;
mod decapsulate;
mod encapsulate;

pub(crate) use decapsulate::Decapsulate;
pub(crate) use encapsulate::Encapsulate;

/// The UDP port of VXLAN.
const PORT: u16 = 4789;
/// Bytes of the UDP and the VXLAN header.
const UDP_HEADER: usize = 8;
const VXLAN_HEADER: usize = 8;
/// The VXLAN flag "this VNI is valid".
const VNI_VALID: u8 = 0x08;
/// The bit of a VNI that marks opaque chunks.
const OPAQUE: u32 = 0x80_0000;
/// The name of the interface that tunnel packets are on.
const INTERFACE: &str = "vxlan0";
