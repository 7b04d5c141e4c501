//! Capture files in and out of mbufs.
//!
//! ```text
//!              Capture                    Pool                     PcapngWriter
//!  pcap   ─┐  ┌────────────────────┐  ┌───────────────┐  ┌──────────────────────────┐
//!          ├─▶│ next_frame()       │─▶│ into_packet() │─▶│ write(&packet, …)        │─▶ pcapng
//!  pcapng ─┘  │ Frame { &[u8], … } │  │ Packet        │  │ one IoSlice per segment  │
//!             └────────────────────┘  └───────────────┘  └──────────────────────────┘
//! ```
//!
//! * [`Capture`] reads pcap (both byte orders, microseconds and nanoseconds) and pcapng (several sections,
//!   several interfaces, any link type and time unit) from any [`Read`](std::io::Read), one frame at a time.
//!   It knows the byte offset of each frame. Memory is bounded by [`MAX_FRAME`], whatever the file claims.
//! * [`Frame::into_packet`] copies a frame into a pool as a driver would: headroom in front, receive time and
//!   interface in the packet header. Frames and pools fail apart: a dry pool loses one frame, not the file.
//! * [`PcapngWriter`] writes packets segment by segment, without flattening them.
//! * [`CaptureError`] says which file, which frame, which byte, and what is wrong there. What stood before the
//!   damage was delivered.
//!
//! # Examples
//!
//! ```
//! use mbuf::{Packet, Pool};
//! use mbuf_io::{Capture, Interface, LinkType, PcapngWriter};
//!
//! let pool = Pool::new();
//! let mut file = Vec::new();
//!
//! let mut writer = PcapngWriter::new(&mut file, "example")?;
//! let eth0 = writer.add_interface(&Interface::new(LinkType::ETHERNET).named("eth0"))?;
//! let mut packet = Packet::from_slice(&pool, b"not much of a frame")?;
//! packet.meta_mut().interface = eth0;
//! packet.meta_mut().timestamp = 1_700_000_000_000_000_001;
//! writer.write(&packet, 1514)?; // the wire had more than was kept
//!
//! let mut capture = Capture::new(&file[..], "example.pcapng")?;
//! let frame = capture.next_frame()?.expect("one frame was written");
//! assert_eq!((frame.number, frame.original_len), (1, 1514));
//! let again = frame.into_packet(&pool)?;
//! assert_eq!(again.to_vec(), packet.to_vec());
//! assert_eq!(again.meta().timestamp, packet.meta().timestamp);
//! assert!(capture.next_frame()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It does not decompress, does not merge or sort by time, and drops what is not a frame (name resolution,
//! statistics, secrets, comments).

#![forbid(unsafe_code)]
// Files are hostile: nothing here may panic, whatever they say.
#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]

mod error;
mod interface;
mod link;
mod read;
mod write;

pub use error::{CaptureError, Damage};
pub use interface::{Interface, TimeUnit};
pub use link::LinkType;
pub use read::{Capture, Frame, MAX_FRAME, MAX_INTERFACES};
pub use write::{PcapngWriter, WriteError};
