//! Bytes of a file, taken record by record.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use crate::Damage;

/// How much is read from the operating system at a time, in bytes.
const READ_AHEAD: usize = 64 << 10;

/// A reader that knows its position and keeps the bytes of the current record.
///
/// ```text
///   file  ....│mark ........ position│....
///             └─ bytes() ───────────┘       (skipped bytes are counted, not kept)
/// ```
/// The buffer grows with what arrives, never with what a length field claims.
#[derive(Debug)]
pub(super) struct Source<R> {
    reader: BufReader<R>,
    position: u64,
    mark: u64,
    record: Vec<u8>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(READ_AHEAD, reader),
            position: 0,
            mark: 0,
            record: Vec::new(),
        }
    }

    /// The offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The offset where the current record starts.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// The bytes of the current record that were appended.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.record
    }

    /// Starts a record at the current position.
    pub(super) fn start_record(&mut self) {
        self.mark = self.position;
        self.record.clear();
    }

    /// Appends the next `len` bytes to the record. Returns how many there were: fewer only at the end of the file.
    pub(super) fn append(&mut self, len: u64) -> Result<u64, Damage> {
        self.each(len, |record, piece| record.extend_from_slice(piece))
    }

    /// Appends exactly `len` bytes to the record; `part` names it when the file ends in between.
    pub(super) fn append_all(&mut self, len: u64, part: &'static str) -> Result<(), Damage> {
        let before = self.record.len() as u64;
        let found = self.append(len)?;
        if found < len {
            return Err(Damage::Truncated { part, expected: before + len, found: before + found });
        }
        Ok(())
    }

    /// Passes over exactly `len` bytes without keeping them.
    pub(super) fn skip(&mut self, len: u64, part: &'static str) -> Result<(), Damage> {
        let before = self.position - self.mark;
        let found = self.each(len, |_, _| {})?;
        if found < len {
            return Err(Damage::Truncated { part, expected: before + len, found: before + found });
        }
        Ok(())
    }

    fn each(&mut self, len: u64, mut take: impl FnMut(&mut Vec<u8>, &[u8])) -> Result<u64, Damage> {
        let mut left = len;
        while left > 0 {
            let available = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Damage::Read(error)),
            };
            let now = available.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(available);
            let count = now.len();
            take(&mut self.record, now);
            self.reader.consume(count);
            left -= count as u64;
            self.position += count as u64;
        }
        Ok(len - left)
    }
}
