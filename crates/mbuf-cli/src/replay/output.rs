//! The capture that `--out` writes.

use std::io::BufWriter;

use mbuf::Packet;
use mbuf_io::{PcapngWriter, WriteError};

use super::target::{Sink, Target, cannot_write};
use crate::stage::{Interfaces, Mark};

const BUFFER: usize = 1 << 18;

/// A pcapng file in the making.
pub(super) struct Output {
    name: String,
    writer: PcapngWriter<BufWriter<Sink>>,
    /// The file's number of each interface of the run; described when its first packet comes.
    interfaces: Vec<Option<u32>>,
    packets: u64,
    bytes: u64,
}

/// What was written.
pub(super) struct Written {
    pub(super) file: String,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Output {
    /// Opens the target and starts the capture.
    pub(super) fn create(target: &Target) -> Result<Self, String> {
        let name = target.name().to_owned();
        let writer = BufWriter::with_capacity(BUFFER, Sink::open(target)?);
        match PcapngWriter::new(writer, concat!("mbufctl ", env!("CARGO_PKG_VERSION"))) {
            Ok(writer) => Ok(Self { name, writer, interfaces: Vec::new(), packets: 0, bytes: 0 }),
            Err(error) => Err(cannot_write(&name, error)),
        }
    }

    /// Writes a packet, its interface first when that is new.
    pub(super) fn write(&mut self, packet: &Packet, interfaces: &Interfaces) -> Result<(), String> {
        let result = self.number(packet.meta().interface, interfaces).and_then(|number| {
            let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            let original_len = len.saturating_add(Mark::of(packet).missing);
            self.writer.write_on(number, packet.meta().timestamp, original_len, packet)
        });
        self.packets += 1;
        self.bytes += packet.len() as u64;
        result.map_err(|error| match error {
            WriteError::Io(error) => cannot_write(&self.name, error),
            other => cannot_write(&self.name, other),
        })
    }

    /// Writes what is buffered and puts the file in its place.
    pub(super) fn finish(mut self, interfaces: &Interfaces) -> Result<Written, String> {
        // Without any interface libpcap does not take a file for a capture.
        if self.interfaces.is_empty() && interfaces.get(0).is_some() {
            self.number(0, interfaces).map_err(|error| cannot_write(&self.name, error))?;
        }
        let Self { name, writer, packets, bytes, .. } = self;
        let buffer = writer.finish().map_err(|error| cannot_write(&name, error))?;
        let sink = buffer.into_inner().map_err(|error| cannot_write(&name, error.error()))?;
        sink.finish()?;
        Ok(Written { file: name, packets, bytes })
    }

    fn number(&mut self, index: u32, interfaces: &Interfaces) -> Result<u32, WriteError> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(Some(number)) = self.interfaces.get(place) {
            return Ok(*number);
        }
        let Some(interface) = interfaces.get(index) else {
            let added = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
            return Err(WriteError::UnknownInterface { interface: index, added });
        };
        let mut interface = interface.clone();
        interface.snaplen = 0; // stages make frames longer than the capture kept
        let number = self.writer.add_interface(&interface)?;
        if self.interfaces.len() <= place {
            self.interfaces.resize(place + 1, None);
        }
        self.interfaces[place] = Some(number);
        Ok(number)
    }
}
