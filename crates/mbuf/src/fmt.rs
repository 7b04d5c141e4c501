//! Printing.

use core::fmt;

use crate::raw::{Head, MbufChain};

/// Bytes that `Debug` shows.
const SHOWN: usize = 64;

impl<H: Head> fmt::Debug for MbufChain<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Lens<'a, H: Head>(&'a MbufChain<H>);
        impl<H: Head> fmt::Debug for Lens<'_, H> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.0.segs().take(16).map(|seg| seg.len())).finish()
            }
        }
        struct Start<'a, H: Head>(&'a MbufChain<H>);
        impl<H: Head> fmt::Debug for Start<'_, H> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let len = self.0.total();
                for piece in self.0.pieces(0, len.min(SHOWN)).map_err(|_| fmt::Error)? {
                    for byte in piece {
                        write!(f, "{byte:02x}")?;
                    }
                }
                if len > SHOWN { f.write_str("…") } else { Ok(()) }
            }
        }
        f.debug_struct(if H::HEADER { "Packet" } else { "Chain" })
            .field("at", &self.address())
            .field("len", &self.total())
            .field("segments", &self.segment_count())
            .field("segment_lens", &Lens(self))
            .field("bytes", &Start(self))
            .finish()
    }
}

impl<H: Head> MbufChain<H> {
    /// The first `max` bytes as a hex dump, sixteen to a line, with the offset, `|` where a segment begins, and the
    /// printable characters.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let pool = Pool::new();
    /// let mut packet = Packet::from_slice(&pool, b"GET / HTTP/1.1\r\n")?;
    /// packet.shatter([5, 11])?;
    /// assert_eq!(
    ///     packet.hexdump(16).to_string(),
    ///     "0000 |47 45 54 20 2f|20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # BSD
    /// `m_print`. Differs: walks the segments, never the header's length; bounded.
    #[doc(alias = "m_print")]
    #[doc(alias = "rte_pktmbuf_dump")]
    pub fn hexdump(&self, max: usize) -> impl fmt::Display + '_ {
        Hexdump { chain: self, max }
    }
}

struct Hexdump<'a, H: Head> {
    chain: &'a MbufChain<H>,
    max: usize,
}

impl<H: Head> fmt::Display for Hexdump<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.chain.total();
        let mut text = [b' '; 16];
        let mut offset = 0;
        let bytes = self.chain.segs().flat_map(|seg| seg.bytes().iter().enumerate());
        for (within, &byte) in bytes.take(self.max) {
            let column = offset % 16;
            if column == 0 {
                write!(f, "{offset:04x} ")?;
            }
            write!(f, "{}{byte:02x}", if within == 0 { '|' } else { ' ' })?;
            text[column] = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'.' };
            offset += 1;
            if column == 15 || offset == total.min(self.max) {
                for _ in column..15 {
                    f.write_str("   ")?;
                }
                f.write_str("  ")?;
                for &c in &text[..=column] {
                    write!(f, "{}", char::from(c))?;
                }
                f.write_str("\n")?;
            }
        }
        if total > self.max {
            writeln!(f, "… {} more bytes", total - self.max)?;
        }
        Ok(())
    }
}
