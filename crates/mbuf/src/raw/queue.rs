//! Packets linked one behind the other.
#![allow(unsafe_code)]

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::chain::Packet;
use super::mbuf::RawMbuf;

/// Links of packets in a queue. The queue's own file holds the policy; this holds the pointers.
///
/// # Invariants
/// 1. Both null, or the first and last of packets that this value owns, linked by `next_packet`, ending in null.
///    Each is the first mbuf of what a [`Packet`] owns, but for the link.
pub(crate) struct PacketList {
    first: *mut RawMbuf,
    last: *mut RawMbuf,
}

// SAFETY: a list of packets, which are `Send`.
unsafe impl Send for PacketList {}
// SAFETY: as above, and `Sync`.
unsafe impl Sync for PacketList {}

impl PacketList {
    pub(crate) const fn new() -> Self {
        PacketList { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    pub(crate) fn push_back(&mut self, packet: Packet) {
        let packet = ManuallyDrop::new(packet).0.as_ptr();
        self.append(PacketList { first: packet, last: packet });
    }

    pub(crate) fn push_front(&mut self, packet: Packet) {
        let packet = ManuallyDrop::new(packet).0.as_ptr();
        let mut front = PacketList { first: packet, last: packet };
        front.append(core::mem::replace(self, PacketList::new()));
        *self = front;
    }

    pub(crate) fn append(&mut self, other: PacketList) {
        let other = ManuallyDrop::new(other);
        if other.first.is_null() {
            return;
        }
        // SAFETY: null, or the last of our packets.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next_packet.set(other.first),
            None => self.first = other.first,
        }
        self.last = other.last;
    }

    pub(crate) fn pop_front(&mut self) -> Option<Packet> {
        let first = NonNull::new(self.first)?;
        // SAFETY: the first of our packets.
        self.first = unsafe { first.as_ref() }.next_packet.replace(ptr::null_mut());
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        // SAFETY: the first mbuf of a packet of ours, which is in the list no more.
        Some(unsafe { Packet::from_first(first) })
    }

    /// The packets, each as a borrowed handle.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packet> {
        let mut place: *const *mut RawMbuf = &self.first;
        core::iter::from_fn(move || {
            // SAFETY: `place` is our `first` or the `next_packet` of one of our packets, borrowed with `self`. Unless
            // null, what is there is laid out as the packet handle that owns the mbuf, which is borrowed too.
            unsafe {
                let packet = NonNull::new(*place)?;
                let handle = &*place.cast::<Packet>();
                place = packet.as_ref().next_packet.as_ptr();
                Some(handle)
            }
        })
    }

    pub(crate) fn first(&self) -> Option<&Packet> {
        self.iter().next()
    }

    /// The last packet.
    pub(crate) fn last(&self) -> Option<&Packet> {
        if self.last.is_null() {
            return None;
        }
        // SAFETY: not null, so laid out as the handle of a packet that is ours, borrowed with `self`.
        Some(unsafe { &*(&raw const self.last).cast::<Packet>() })
    }
}

impl Drop for PacketList {
    fn drop(&mut self) {
        /// Goes on with the rest when a destructor of the user's panics.
        struct Rest<'a>(&'a mut PacketList);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while let Some(packet) = self.0.pop_front() {
                    drop(packet);
                }
            }
        }

        let rest = Rest(self);
        while let Some(packet) = rest.0.pop_front() {
            drop(packet);
        }
    }
}
