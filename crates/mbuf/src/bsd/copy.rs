//! `m_copym`, `m_copypacket`, `m_dup`, `m_defrag`, `m_fragment`.

use core::panic::Location;

use mbuf_zone::Cause;

use crate::blank::{Front, bounds};
use crate::error::{OpError, Resource};
use crate::fault::FaultPoint;
use crate::pool::Pool;
use crate::raw::foreign::{Error, Loose, View};

impl View<'_> {
    /// `m_copym`: shares storage, and has a header if this has one and the copy begins where this begins.
    pub fn share_loose(&self, start: usize, len: usize) -> Result<Loose, Error> {
        bounds(start, len, self.len())?;
        if len == 0 {
            return Err(Error::Nothing);
        }
        match self.as_packet().filter(|_| start == 0) {
            Some(packet) => {
                let mut copy = Loose::from(packet.share_part(packet.segs(), 0, len)?);
                copy.set_length(len);
                Ok(copy)
            }
            None => Ok(self.share_range(start..start + len)?.into()),
        }
    }

    /// `m_copypacket`: all of a packet.
    pub fn share_packet(&self) -> Result<Loose, Error> {
        let Some(packet) = self.as_packet() else { return Err(Error::NoHeader) };
        let len = self.len();
        let mut copy = Loose::from(packet.share_part(packet.segs(), 0, len)?);
        copy.set_length(len);
        Ok(copy)
    }

    /// `m_dup`: all of it, in memory of its own, with a header if this has one.
    pub fn duplicate_loose(&self) -> Result<Loose, Error> {
        let len = self.len();
        match self.as_packet() {
            Some(packet) => Ok(packet.duplicate_part(len, Front::NONE)?.into()),
            None => Ok(self.duplicate_part(len, Front::NONE)?.into()),
        }
    }

    /// `m_defrag`: the same, as its statistics count it.
    #[track_caller]
    pub fn defragment_loose(&self, pool: &Pool) -> Result<Loose, Error> {
        let (shared, ops) = (pool.shared(), &pool.shared().ops);
        let made = if shared.inspector.faults.strikes(FaultPoint::Defragment, Location::caller()) {
            Err(shared.dry(Resource::Mbuf, Cause::Refused).into())
        } else {
            self.duplicate_loose()
        };
        match &made {
            Ok(_) => {
                ops.add(|ops| &ops.defrag_packets, 1);
                ops.add(|ops| &ops.defrag_bytes, self.len());
            }
            Err(_) => ops.add(|ops| &ops.defrag_failures, 1),
        }
        made
    }

    /// `m_fragment`: all of a packet, in mbufs of so many bytes.
    pub fn fragment_loose(&self, size: usize) -> Result<Loose, Error> {
        let Some(packet) = self.as_packet() else { return Err(Error::NoHeader) };
        let mut copy = packet.duplicate_part(self.len(), Front::NONE)?;
        copy.shatter(core::iter::repeat(size.max(1)))?;
        Ok(copy.into())
    }

    /// Copies bytes out (`m_copydata`).
    pub fn copy_out(&self, start: usize, out: &mut [u8]) -> Result<(), OpError> {
        Ok(self.read_at(start, out)?)
    }
}
