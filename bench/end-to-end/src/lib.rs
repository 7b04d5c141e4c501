//! A round trip of real frames through stages, with this library's packets and with flat buffers in their place.
//!
//! - [`frame`]: what the stages need of a buffer; [`ours`] and [`flat`]: who offers it.
//! - [`wire`]: headers and checksums, written once for all of them.
//! - [`trip`]: the stages, window by window, and who looks on.
//! - [`capture`]: the frames.
//! - [`worker`]: a process that does the trip with one kind of buffer and takes the time.
//! - [`mbufctl`]: the program, doing the same; [`report`]: has all of them run in turn, and writes the table.

pub mod capture;
pub mod flat;
pub mod frame;
pub mod mbufctl;
pub mod ours;
pub mod report;
pub mod trip;
pub mod wire;
pub mod worker;
