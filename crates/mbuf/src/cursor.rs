//! A position in a chain, to read from and to write at the end.

use std::io::{self, BufRead, IoSlice, Read, Seek, SeekFrom, Write};

use crate::blank::add_lengths;
use crate::error::OpError;
use crate::raw::{Head, MbufChain, RawMbuf, Segs};

impl From<OpError> for io::Error {
    fn from(error: OpError) -> Self {
        let kind = match error {
            OpError::Alloc(_) => io::ErrorKind::OutOfMemory,
            OpError::Bounds(_) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

impl<H: Head> MbufChain<H> {
    /// A reader at the first byte: `Read`, `BufRead`, `Seek`. The chain is not changed.
    ///
    /// ```
    /// use std::io::{BufRead, Read, Seek, SeekFrom};
    /// # use mbuf::{Packet, Pool};
    /// let mut packet = Packet::from_slice(&Pool::new(), b"one\ntwo\nthree")?;
    /// packet.shatter([2, 3, 4])?;
    /// let mut reader = packet.reader();
    /// let mut line = String::new();
    /// reader.read_line(&mut line)?;
    /// assert_eq!(line, "one\n");
    /// reader.seek(SeekFrom::End(-5))?;
    /// let mut rest = String::new();
    /// reader.read_to_string(&mut rest)?;
    /// assert_eq!(rest, "three");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(&self) -> Reader<'_> {
        let mut segs = self.segs();
        let current = segs.next();
        Reader { start: self.segs(), segs, current, within: 0, position: 0, len: self.len() as u64 }
    }

    /// A writer behind the last byte: `Write`. Each call of `write` and `write_vectored` writes all it is given, or
    /// fails and has written nothing; `write_all` is one `write`. There is nothing to flush.
    pub fn writer(&mut self) -> Writer<'_, H> {
        Writer { chain: self }
    }
}

/// A cursor over the bytes of a chain. Clones are independent.
#[derive(Clone)]
pub struct Reader<'a> {
    start: Segs<'a>,
    segs: Segs<'a>,
    current: Option<&'a RawMbuf>,
    /// Offset in the current segment.
    within: usize,
    position: u64,
    len: u64,
}

impl<'a> Reader<'a> {
    /// Offset of the next byte; may lie beyond the end after a seek.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes up to the end.
    pub fn remaining(&self) -> usize {
        self.len.saturating_sub(self.position) as usize
    }

    /// The rest of the current segment, for as long as the chain is borrowed; empty at the end.
    pub fn chunk(&mut self) -> &'a [u8] {
        loop {
            let Some(seg) = self.current else { return &[] };
            match seg.bytes().get(self.within..) {
                Some(rest) if !rest.is_empty() => return rest,
                _ => {
                    self.within = self.within.saturating_sub(seg.len());
                    self.current = self.segs.next();
                }
            }
        }
    }

    fn skip(&mut self, n: usize) {
        self.within += n;
        self.position += n as u64;
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let chunk = self.chunk();
        let n = chunk.len().min(out.len());
        out[..n].copy_from_slice(&chunk[..n]);
        self.skip(n);
        Ok(n)
    }

    fn read_exact(&mut self, mut out: &mut [u8]) -> io::Result<()> {
        if out.len() > self.remaining() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !out.is_empty() {
            let n = self.read(out)?;
            out = &mut out[n..];
        }
        Ok(())
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.chunk())
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.chunk().len());
        self.skip(n);
    }
}

/// Seeking forward walks on; seeking backward starts over. Beyond the end is allowed, and reads nothing there.
impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.len.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        let target = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek to before the first byte"))?;
        if target < self.position || self.position > self.len {
            self.segs = self.start.clone();
            self.current = self.segs.next();
            (self.within, self.position) = (0, 0);
        }
        // Beyond the end there is nothing to walk over.
        let step = target.min(self.len) - self.position.min(self.len);
        self.within += step as usize;
        self.position = target;
        self.chunk();
        Ok(target)
    }
}

impl core::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).field("len", &self.len).finish()
    }
}

/// Appends to a chain.
#[derive(Debug)]
pub struct Writer<'a, H: Head> {
    chain: &'a mut MbufChain<H>,
}

impl<H: Head> Write for Writer<'_, H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chain.extend_from_slice(bytes)?;
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = slices.iter().try_fold(0, |len, slice| add_lengths(len, slice.len()))?;
        self.chain.extend_far(len, slices.iter().map(|slice| &**slice))?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
