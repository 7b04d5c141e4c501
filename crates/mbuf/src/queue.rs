//! Packets in a row.

use core::fmt;

use crate::raw::{Packet, PacketList};

/// A first-in, first-out queue of packets, linked through the packets themselves: no memory of its own.
///
/// Knows its packets and bytes; refuses packets over its limit, if it has one.
///
/// ```
/// use mbuf::{Packet, PacketQueue, Pool};
/// let pool = Pool::new();
/// let mut queue = PacketQueue::with_limit(1);
/// queue.push_back(Packet::from_slice(&pool, b"first")?).unwrap();
/// let refused = queue.push_back(Packet::from_slice(&pool, b"second")?).unwrap_err();
/// assert_eq!((queue.len(), queue.bytes()), (1, 5));
/// assert_eq!(queue.pop_front().unwrap(), b"first");
/// # assert_eq!(refused.0, b"second");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # BSD
/// `mbufq`, `ifqueue`, and packets linked by `m_nextpkt`.
#[doc(alias = "mbufq")]
#[doc(alias = "m_nextpkt")]
pub struct PacketQueue {
    list: PacketList,
    len: usize,
    bytes: u64,
    limit: usize,
}

/// The queue has as many packets as it may: the packet comes back.
#[derive(Debug)]
pub struct QueueFull(pub Packet);

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue is full: a packet of {} bytes was refused", self.0.len())
    }
}

impl core::error::Error for QueueFull {}

impl PacketQueue {
    /// An empty queue without a limit.
    pub const fn new() -> Self {
        Self::with_limit(usize::MAX)
    }

    /// An empty queue for at most `limit` packets.
    ///
    /// # BSD
    /// `mbufq_init`.
    #[doc(alias = "mbufq_init")]
    pub const fn with_limit(limit: usize) -> Self {
        PacketQueue { list: PacketList::new(), len: 0, bytes: 0, limit }
    }

    /// Puts a packet behind the others. O(1).
    ///
    /// # Errors
    /// [`QueueFull`] with the packet.
    /// # BSD
    /// `mbufq_enqueue`.
    #[doc(alias = "mbufq_enqueue")]
    pub fn push_back(&mut self, packet: Packet) -> Result<(), QueueFull> {
        if self.is_full() {
            return Err(QueueFull(packet));
        }
        self.len += 1;
        self.bytes += packet.len() as u64;
        self.list.push_back(packet);
        Ok(())
    }

    /// Puts a packet in front of the others, whatever the limit: it was there before. O(1).
    ///
    /// # BSD
    /// `mbufq_prepend`.
    #[doc(alias = "mbufq_prepend")]
    pub fn push_front(&mut self, packet: Packet) {
        self.len += 1;
        self.bytes += packet.len() as u64;
        self.list.push_front(packet);
    }

    /// Takes the first packet. O(1).
    ///
    /// # BSD
    /// `mbufq_dequeue`.
    #[doc(alias = "mbufq_dequeue")]
    pub fn pop_front(&mut self) -> Option<Packet> {
        let packet = self.list.pop_front()?;
        self.len -= 1;
        self.bytes -= packet.len() as u64;
        Some(packet)
    }

    /// Moves all packets of another queue behind those of this one, whatever the limit. O(1).
    ///
    /// # BSD
    /// `mbufq_concat`.
    #[doc(alias = "mbufq_concat")]
    pub fn append(&mut self, other: &mut PacketQueue) {
        self.len += core::mem::take(&mut other.len);
        self.bytes += core::mem::take(&mut other.bytes);
        self.list.append(core::mem::replace(&mut other.list, PacketList::new()));
    }

    /// [Claims](crate::MbufChain::claim) every packet.
    ///
    /// # BSD
    /// `mbuftrackid`.
    pub fn claim(&self, owner: &'static str, id: u32) {
        self.list.iter().for_each(|packet| packet.claim(owner, id));
    }

    /// The first packet.
    ///
    /// # BSD
    /// `mbufq_first`.
    #[doc(alias = "mbufq_first")]
    pub fn front(&self) -> Option<&Packet> {
        self.list.first()
    }

    /// The last packet.
    ///
    /// # BSD
    /// `mbufq_last`.
    #[doc(alias = "mbufq_last")]
    pub fn back(&self) -> Option<&Packet> {
        self.list.last()
    }

    /// The packets, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &Packet> {
        self.list.iter()
    }

    /// Packets in the queue.
    #[doc(alias = "mbufq_len")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of data in the queue.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Packets the queue may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the queue refuses packets.
    #[doc(alias = "mbufq_full")]
    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Drops all packets.
    #[doc(alias = "mbufq_drain")]
    #[doc(alias = "mbufq_flush")]
    pub fn clear(&mut self) {
        self.len = 0;
        self.bytes = 0;
        self.list = PacketList::new();
    }
}

impl Default for PacketQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Packet> for PacketQueue {
    /// Puts packets behind the others, whatever the limit.
    fn extend<I: IntoIterator<Item = Packet>>(&mut self, packets: I) {
        for packet in packets {
            self.len += 1;
            self.bytes += packet.len() as u64;
            self.list.push_back(packet);
        }
    }
}

impl FromIterator<Packet> for PacketQueue {
    fn from_iter<I: IntoIterator<Item = Packet>>(packets: I) -> Self {
        let mut queue = PacketQueue::new();
        queue.extend(packets);
        queue
    }
}

impl IntoIterator for PacketQueue {
    type Item = Packet;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self)
    }
}

/// The packets of a queue, first to last.
#[derive(Debug)]
pub struct IntoIter(PacketQueue);

impl Iterator for IntoIter {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len, Some(self.0.len))
    }
}

impl ExactSizeIterator for IntoIter {}
impl core::iter::FusedIterator for IntoIter {}

impl fmt::Debug for PacketQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketQueue")
            .field("len", &self.len)
            .field("bytes", &self.bytes)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
