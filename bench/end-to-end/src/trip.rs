//! The round trip: a window of frames through all stages, stage by stage, as `mbufctl replay` does it.

use std::hint::black_box;
use std::mem;

use crate::frame::{Cut, Frame, Gather};
use crate::wire::{self, ETHERNET, IPV4, Ip, Link, TUNNEL, Verdict, put_u16, u16_at};

/// Frames that go through the stages together.
pub const WINDOW: usize = 64;

/// The most bytes of an IP datagram behind the stage `fragment`.
pub const MTU: usize = 576;

const VLAN_ID: u16 = 100;
const FIRST_SOURCE_PORT: u16 = 49_152;
/// Bytes in front of a fragment's payload.
const HEAD: usize = ETHERNET + IPV4;
const PIECE: usize = (MTU - IPV4) & !7;

/// The stages, in the order in which a frame sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Receive,
    Verify,
    Vlan,
    Vxlan,
    Fragment,
    Reassemble,
    Decapsulate,
    VlanPop,
    Mirror,
    Transmit,
}

impl Stage {
    pub const ALL: [Stage; 10] = [
        Stage::Receive,
        Stage::Verify,
        Stage::Vlan,
        Stage::Vxlan,
        Stage::Fragment,
        Stage::Reassemble,
        Stage::Decapsulate,
        Stage::VlanPop,
        Stage::Mirror,
        Stage::Transmit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Receive => "receive",
            Stage::Verify => "verify",
            Stage::Vlan => "vlan",
            Stage::Vxlan => "vxlan",
            Stage::Fragment => "fragment",
            Stage::Reassemble => "reassemble",
            Stage::Decapsulate => "decapsulate",
            Stage::VlanPop => "vlan-pop",
            Stage::Mirror => "mirror",
            Stage::Transmit => "transmit",
        }
    }
}

/// Who looks on.
pub trait Watch<F: Frame> {
    /// A window begins.
    fn begin(&mut self) {}

    /// A stage is done: what came out of it is here, as frames or ready to be sent.
    fn done(&mut self, stage: Stage, frames: &[F], sent: &[F::Sent]);
}

/// Everything that a trip needs, kept from window to window.
pub struct Trip<F: Frame> {
    source: F::Source,
    frames: Vec<F>,
    /// What a stage makes of them, where that is not one of each.
    made: Vec<F>,
    sent: Vec<F::Sent>,
    /// What a card would be told.
    ring: Vec<*const [u8]>,
    next_id: u16,
    datagrams: Vec<Datagram<F>>,
    /// Frames whose checksums were looked at, by verdict.
    verdicts: [u64; 4],
}

/// A datagram that is not complete.
struct Datagram<F> {
    key: ([u8; 8], u8, u32),
    first: F,
    /// What follows the first, in order.
    rest: Vec<F>,
    bytes: usize,
}

impl<F: Frame> Default for Trip<F> {
    fn default() -> Self {
        Self {
            source: F::source(),
            frames: Vec::new(),
            made: Vec::new(),
            sent: Vec::new(),
            ring: Vec::new(),
            next_id: 1,
            datagrams: Vec::new(),
            verdicts: [0; 4],
        }
    }
}

impl<F: Frame> Trip<F> {
    /// Takes all frames through all stages.
    pub fn lap(&mut self, frames: &[&[u8]], watch: &mut impl Watch<F>) {
        for window in frames.chunks(WINDOW) {
            watch.begin();
            for stage in Stage::ALL {
                self.step(stage, window);
                watch.done(stage, &self.frames, &self.sent);
            }
        }
    }

    /// Frames that had this verdict, so far.
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        self.verdicts[verdict as usize]
    }

    fn step(&mut self, stage: Stage, window: &[&[u8]]) {
        match stage {
            Stage::Receive => self.frames.extend(window.iter().map(|bytes| F::receive(&self.source, bytes))),
            Stage::Verify => {
                for frame in &self.frames {
                    self.verdicts[wire::verify(frame) as usize] += 1;
                }
            }
            Stage::Vlan => self.frames.iter_mut().for_each(push_tag),
            Stage::Vxlan => self.encapsulate(),
            Stage::Fragment => self.remake(|trip, frame| fragment(&trip.source, frame, &mut trip.made)),
            Stage::Reassemble => {
                self.remake(Self::reassemble);
                assert!(self.datagrams.is_empty(), "fragments of a window are all in it");
            }
            Stage::Decapsulate => self.frames.iter_mut().for_each(decapsulate),
            Stage::VlanPop => self.frames.iter_mut().for_each(pop_tag),
            Stage::Mirror => {
                for frame in self.frames.drain(..) {
                    let (frame, mirror) = frame.mirror();
                    self.sent.push(frame);
                    self.sent.push(mirror);
                }
            }
            Stage::Transmit => self.transmit(),
        }
    }

    /// Gives each frame to a stage that puts what it makes of it into `made`.
    fn remake(&mut self, mut stage: impl FnMut(&mut Self, F)) {
        let mut frames = mem::take(&mut self.frames);
        frames.drain(..).for_each(|frame| stage(self, frame));
        self.frames = mem::replace(&mut self.made, frames);
    }

    fn encapsulate(&mut self) {
        for frame in &mut self.frames {
            let port = FIRST_SOURCE_PORT | wire::flow_hash(frame) as u16;
            let len = frame.length();
            let sum = frame.sum_of(0..len).expect("all of it");
            frame.put_front(&wire::tunnel_header(sum, len, self.next_id, port));
            self.next_id = self.next_id.wrapping_add(1);
        }
    }

    fn reassemble(&mut self, mut frame: F) {
        let Some((ip, fragment)) = whole_ip(&frame).and_then(|ip| ip.fragment.map(|it| (ip, it))) else {
            return self.made.push(frame);
        };
        assert!(
            ip.payload == HEAD && ip.v4 && wire::header_sum(&frame, &ip).is_some_and(|sum| sum.is_valid())
        );
        frame.cut_back(ip.end);
        let key = (ip.addresses().try_into().expect("IPv4"), ip.protocol, fragment.id);
        let len = ip.end - ip.payload;
        let Some(at) = self.datagrams.iter().position(|datagram| datagram.key == key) else {
            assert_eq!(fragment.offset, 0, "fragments come in order");
            return self.datagrams.push(Datagram { key, first: frame, rest: Vec::new(), bytes: len });
        };
        let datagram = &mut self.datagrams[at];
        assert_eq!(fragment.offset, datagram.bytes, "fragments come in order");
        datagram.rest.push(frame);
        datagram.bytes += len;
        if !fragment.more {
            let Datagram { mut first, mut rest, bytes, .. } = self.datagrams.swap_remove(at);
            first.join(&mut rest, HEAD);
            let mut header: [u8; IPV4] = first.read(ETHERNET).expect("it was looked at");
            put_u16(&mut header, 2, u16::try_from(IPV4 + bytes).expect("as long as it was"));
            header[6] &= 0xc0;
            header[7] = 0;
            wire::finish_ipv4(&mut header);
            first.put_at(ETHERNET, &header);
            self.made.push(first);
        }
    }

    /// Writes down for a card where all bytes are, and frees the frames, as if it had sent them.
    fn transmit(&mut self) {
        for frame in &self.sent {
            frame.each_slice(|slice| self.ring.push(slice));
        }
        black_box(self.ring.as_slice());
        self.ring.clear();
        self.sent.clear();
    }
}

fn whole_ip(frame: &impl Frame) -> Option<Ip> {
    Link::parse(frame).and_then(|link| Ip::parse(frame, &link))
}

fn push_tag(frame: &mut impl Frame) {
    let tags = Link::parse(frame).expect("a frame of the capture").tags;
    let kind: u16 = if tags > 0 { 0x88a8 } else { 0x8100 };
    let ([a, b], [c, d]) = (kind.to_be_bytes(), VLAN_ID.to_be_bytes());
    frame.insert_tag([a, b, c, d]);
}

fn pop_tag(frame: &mut impl Frame) {
    assert!(Link::parse(frame).is_some_and(|link| link.tags > 0), "what was pushed");
    frame.remove_tag();
}

fn decapsulate(frame: &mut impl Frame) {
    assert_eq!(wire::is_tunnel(frame), Some(true), "what was encapsulated");
    frame.cut_front(TUNNEL);
}

fn fragment<F: Frame>(source: &F::Source, frame: F, out: &mut Vec<F>) {
    let ip = whole_ip(&frame).filter(|ip| {
        let fits = ip.end - ip.start <= MTU;
        !fits && ip.v4 && !ip.dont_fragment && ip.payload == HEAD && ip.end == frame.length()
    });
    let Some(ip) = ip else { return out.push(frame) };
    assert!(wire::header_sum(&frame, &ip).is_some_and(|sum| sum.is_valid()));
    let header: [u8; HEAD] = frame.read(0).expect("it was looked at");
    let field = u16_at(&header, ETHERNET + 6);
    frame.cut(source, PIECE, out, |Cut { offset, len, last }| {
        let mut header = header;
        let more = if last { 0 } else { 0x2000 };
        put_u16(&mut header, ETHERNET + 2, (IPV4 + len) as u16);
        put_u16(&mut header, ETHERNET + 6, field | more | (offset / 8) as u16);
        wire::finish_ipv4(&mut header[ETHERNET..]);
        header
    });
}
