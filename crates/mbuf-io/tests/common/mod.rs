//! Capture files made by hand, in both byte orders.
#![allow(dead_code)] // each test file uses its share

/// The byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// The header of a pcap file.
pub(crate) fn pcap_header(order: Order, magic: u32, link: u32) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(order.u32(magic));
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    file.extend(order.u32(0));
    file.extend(order.u32(0));
    file.extend(order.u32(65535));
    file.extend(order.u32(link));
    file
}

/// A record of a pcap file.
pub(crate) fn pcap_record(order: Order, seconds: u32, fraction: u32, original: u32, data: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(order.u32(seconds));
    record.extend(order.u32(fraction));
    record.extend(order.u32(data.len() as u32));
    record.extend(order.u32(original));
    record.extend(data);
    record
}

/// Any pcapng block around `body`, which is padded.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let total = order.u32(body.len() as u32 + 12);
    [&order.u32(kind)[..], &total, &body, &total].concat()
}

pub(crate) fn section(order: Order) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(order.u32(0x1a2b_3c4d));
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend(order.u64(u64::MAX));
    block(order, 0x0a0d_0d0a, &body)
}

pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut option = [&order.u16(code)[..], &order.u16(value.len() as u16), value].concat();
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

pub(crate) fn interface(order: Order, link: u16, snaplen: u32, options: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&order.u16(link)[..], &[0; 2], &order.u32(snaplen)].concat();
    body.extend(options.concat());
    block(order, 1, &body)
}

pub(crate) fn enhanced(order: Order, interface: u32, ticks: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for field in [interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, original] {
        body.extend(order.u32(field));
    }
    body.extend(data);
    block(order, 6, &body)
}

pub(crate) fn simple(order: Order, original: u32, data: &[u8]) -> Vec<u8> {
    block(order, 3, &[&order.u32(original), data].concat())
}

pub(crate) fn obsolete(order: Order, interface: u16, ticks: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let mut body = [order.u16(interface), order.u16(0)].concat();
    for field in [(ticks >> 32) as u32, ticks as u32, data.len() as u32, original] {
        body.extend(order.u32(field));
    }
    body.extend(data);
    block(order, 2, &body)
}

/// A pcapng file with two interfaces and every kind of packet block.
pub(crate) fn small_pcapng(order: Order) -> Vec<u8> {
    [
        section(order),
        interface(order, 1, 0, &[option(order, 2, b"eth0"), option(order, 9, &[9]), option(order, 0, &[])]),
        enhanced(order, 0, 1_000_000_001, 5, b"first"),
        block(order, 5, &[0; 12]),
        interface(order, 276, 0, &[]),
        enhanced(order, 1, 2, 3, b"two"),
        simple(order, 5, b"three"),
        obsolete(order, 0, 4, 4, b"four"),
    ]
    .concat()
}

/// A pcap file with three frames of 40, 41 and 42 bytes.
pub(crate) fn small_pcap(order: Order) -> Vec<u8> {
    let mut file = pcap_header(order, 0xa1b2_c3d4, 1);
    for len in 40..43 {
        file.extend(pcap_record(order, len, len, len, &vec![len as u8; len as usize]));
    }
    file
}
