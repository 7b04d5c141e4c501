//! The file that `--out` writes.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use mbuf::Packet;
use mbuf_io::PcapngWriter;

use crate::stage::{Interfaces, Mark};

const BUFFER: usize = 1 << 18;

/// A pcapng file in the making.
pub(super) struct Output {
    path: PathBuf,
    writer: PcapngWriter<BufWriter<File>>,
    /// The file's number of each interface of the run; described when its first packet comes.
    interfaces: Vec<Option<u32>>,
    packets: u64,
    bytes: u64,
}

/// Refuses to write a file that is also read or written for another purpose.
pub(super) fn refuse_same(path: &Path, other: Option<&Path>) -> Result<(), String> {
    match (path.canonicalize(), other.map(Path::canonicalize)) {
        (Ok(path), Some(Ok(other))) if path == other => {
            Err(format!("{} would be overwritten", path.display()))
        }
        _ => Ok(()),
    }
}

/// What was written.
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Output {
    /// Creates the file.
    pub(super) fn create(path: &Path) -> Result<Self, String> {
        let cannot = |error| format!("cannot write {}: {error}", path.display());
        let file = File::create(path).map_err(cannot)?;
        let application = concat!("mbufctl ", env!("CARGO_PKG_VERSION"));
        let writer =
            PcapngWriter::new(BufWriter::with_capacity(BUFFER, file), application).map_err(cannot)?;
        Ok(Self { path: path.to_owned(), writer, interfaces: Vec::new(), packets: 0, bytes: 0 })
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
        result.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    pub(super) fn finish(self) -> Result<Written, String> {
        match self.writer.finish() {
            Ok(_) => Ok(Written { path: self.path, packets: self.packets, bytes: self.bytes }),
            Err(error) => Err(format!("cannot write {}: {error}", self.path.display())),
        }
    }

    fn number(&mut self, index: u32, interfaces: &Interfaces) -> Result<u32, mbuf_io::WriteError> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(Some(number)) = self.interfaces.get(place) {
            return Ok(*number);
        }
        let Some(interface) = interfaces.get(index) else {
            let added = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
            return Err(mbuf_io::WriteError::UnknownInterface { interface: index, added });
        };
        let number = self.writer.add_interface(interface)?;
        if self.interfaces.len() <= place {
            self.interfaces.resize(place + 1, None);
        }
        self.interfaces[place] = Some(number);
        Ok(number)
    }
}
