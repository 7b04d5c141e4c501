#!/usr/bin/env python3
"""Makes the small files in extra/ from real.pcapng.

    python3 captures/make-extra.py

Standard library only; the same real.pcapng always gives the same files.
(extra/linux-sll.pcap is not made here: record.sh records it.)
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
EXTRA = os.path.join(HERE, "extra")
ETHERNET, NULL, RAW = 1, 0, 101


# ------------------------------------------------------------------- reading

def read_pcapng(path):
    """[(time in ns, original length, bytes)] of a little-endian pcapng file in
    which all interfaces count in nanoseconds, as record.sh writes it."""
    data = open(path, "rb").read()
    frames, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + size - 4]
        if kind == 0x0A0D0D0A:
            assert body[:4] == b"\x4d\x3c\x2b\x1a"
        elif kind == 1:
            assert struct.unpack_from("<H", body)[0] == ETHERNET
            assert b"\x09\x00\x01\x00\x09" in body           # if_tsresol = 10^-9
        elif kind == 6:
            _, hi, lo, cap, orig = struct.unpack_from("<IIIII", body)
            frames.append((hi << 32 | lo, orig, body[20:20 + cap]))
        at += size
    return frames


def network(frame):
    """(tags, EtherType, offset of what follows it)."""
    at, tags = 12, 0
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at, tags = at + 4, tags + 1
    return tags, struct.unpack_from("!H", frame, at)[0], at + 2


def kind(frame):
    """What sort of frame it is; used to pick one of each."""
    tags, eth, at = network(frame)
    if eth == 0x0806:
        return tags, "arp", frame[at + 7]
    if eth == 0x0800:
        proto, frag = frame[at + 9], struct.unpack_from("!H", frame, at + 6)[0] & 0x3FFF
        if frag:
            return tags, "ip fragment", proto, bool(frag & 0x2000), bool(frag & 0x1FFF)
        at += (frame[at] & 15) * 4
    elif eth == 0x86DD:
        proto = frame[at + 6]
        at += 40
        if proto == 0:                                       # hop-by-hop options
            proto, at = frame[at], at + 8 + frame[at + 1] * 8
        if proto == 44:
            frag = struct.unpack_from("!H", frame, at + 2)[0]
            return tags, "ip6 fragment", frame[at], bool(frag & 1), bool(frag >> 3)
    else:
        return tags, eth
    if proto == 6:
        ports = struct.unpack_from("!HH", frame, at)
        payload = len(frame) > at + (frame[at + 12] >> 4) * 4
        return tags, eth, "tcp", min(ports), frame[at + 13] & 7, payload
    if proto == 17:
        return tags, eth, "udp", min(struct.unpack_from("!HH", frame, at))
    return tags, eth, proto, frame[at]                       # ICMP type


def one_of_each(frames, longest, count):
    """The first frame of each kind, in the order of the capture."""
    seen, out = set(), []
    for f in frames:
        if len(f[2]) <= longest and kind(f[2]) not in seen:
            seen.add(kind(f[2]))
            out.append(f)
    # `count` of them, spread evenly.
    return [out[i * len(out) // count] for i in range(min(count, len(out)))]


# ------------------------------------------------------------------- writing

def pcap_header(order="<", nano=False, snaplen=262144, link=ETHERNET, magic=None):
    magic = magic or (0xA1B23C4D if nano else 0xA1B2C3D4)
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)


def pcap_record(frame, order="<", nano=False, incl=None):
    ns, orig, data = frame
    sec, part = divmod(ns, 10**9)
    return struct.pack(order + "IIII", sec, part if nano else part // 1000,
                       len(data) if incl is None else incl, orig) + data


def pcap(frames, order="<", nano=False, snaplen=262144, link=ETHERNET, magic=None):
    return pcap_header(order, nano, snaplen, link, magic) + b"".join(
        pcap_record(f, order, nano) for f in frames)


def pad4(b):
    return b + bytes(-len(b) % 4)


def block(order, kind, body):
    size = 12 + len(body)
    assert size % 4 == 0
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def options(order, *opts):
    return b"".join(struct.pack(order + "HH", code, len(v)) + pad4(v)
                    for code, v in opts) + bytes(4)


def section(order):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order, link, snaplen, *opts):
    return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen)
                 + (options(order, *opts) if opts else b""))


def packet(order, iface, ticks, frame, *opts):
    _, orig, data = frame
    return block(order, 6, struct.pack(order + "IIIII", iface, ticks >> 32, ticks & 0xFFFFFFFF,
                                       len(data), orig)
                 + pad4(data) + (options(order, *opts) if opts else b""))


def without_ethernet(frames):
    """The IPv4 and IPv6 packets, beginning at the IP header."""
    out = []
    for ns, orig, data in frames:
        _, eth, at = network(data)
        if eth == 0x0800:                                    # without padding
            end = at + struct.unpack_from("!H", data, at + 2)[0]
        elif eth == 0x86DD:
            end = at + 40 + struct.unpack_from("!H", data, at + 4)[0]
        else:
            continue
        out.append((ns, end - at, data[at:end]))
    return out


def main():
    frames = read_pcapng(os.path.join(HERE, "real.pcapng"))
    few = one_of_each(frames, 1518, 24)
    small = one_of_each(frames, 200, 10)
    ip = without_ethernet(one_of_each(frames, 1518, 20))
    files = {}

    files["nsec-be.pcap"] = pcap(few, ">", nano=True)
    files["usec-le.pcap"] = pcap(few)
    files["raw-ip.pcap"] = pcap(ip, link=RAW)
    # Four bytes of address family in front: 2 for IPv4; IPv6 is 24, 28 or 30,
    # depending on the system.
    null = []
    for i, (ns, orig, data) in enumerate(ip):
        family = 2 if data[0] >> 4 == 4 else (24, 28, 30)[i % 3]
        null.append((ns, orig + 4, struct.pack("<I", family) + data))
    files["loopback-null.pcap"] = pcap(null, link=NULL)
    files["snap96.pcap"] = pcap([(ns, orig, data[:96]) for ns, orig, data
                                 in one_of_each(frames, 9014, 30)], snaplen=96)

    # Interface 0: Ethernet, nanoseconds. Interface 1: bare IP, no if_tsresol
    # and thus microseconds. Their frames alternate.
    o = "<"
    parts = [section(o),
             interface(o, ETHERNET, 262144, (2, b"eth"), (9, b"\x09")),
             interface(o, RAW, 65535, (2, b"raw"))]
    for i, f in enumerate(small):
        parts.append(packet(o, 0, f[0], f, *([(1, b"a comment")] if i == 0 else [])))
        for g in without_ethernet([f]):
            parts.append(packet(o, 1, g[0] // 1000, g))
    parts.append(block(o, 5, struct.pack(o + "III", 0, 0, 0)))     # interface statistics
    files["multi-if.pcapng"] = b"".join(parts)

    # A big-endian section with a block of an unknown type, simple packet
    # blocks (no time; the snap length of 96 cuts them) and a resolution of
    # 2^-20 s; behind it a little-endian section.
    o = ">"
    parts = [section(o),
             interface(o, ETHERNET, 96, (9, b"\x94")),
             block(o, 0x7E57, b"skip me, pls")]
    for ns, orig, data in small[:5]:
        parts.append(block(o, 3, struct.pack(o + "I", orig) + pad4(data[:96])))
        cut = (ns, orig, data[:96])
        parts.append(packet(o, 0, (ns << 20) // 10**9, cut))
    parts += [section("<"), interface("<", ETHERNET, 0, (9, b"\x09"))]
    parts += [packet("<", 0, f[0], f) for f in small[5:]]
    files["mixed-endian.pcapng"] = b"".join(parts)

    # Damaged ones.
    good = [pcap_record(f) for f in small[:5]]
    files["cut-mid-frame.pcap"] = (pcap_header() + b"".join(good[:4])
                                   + good[4][:16 + len(small[4][2]) // 2])
    parts = [section("<"), interface("<", ETHERNET, 262144, (9, b"\x09"))]
    parts += [packet("<", 0, f[0], f) for f in small[:5]]
    parts[-1] = parts[-1][:len(parts[-1]) // 2]
    files["cut-mid-block.pcapng"] = b"".join(parts)
    files["bad-length.pcap"] = (pcap_header() + b"".join(good[:3])
                                + pcap_record(small[3], incl=160 * 2**20) + good[4])
    files["bad-magic.pcap"] = pcap(small[:5], magic=0xA1B2C3D5)
    files["empty.pcap"] = pcap([])
    files["zero.pcap"] = b""

    os.makedirs(EXTRA, exist_ok=True)
    for name, data in files.items():
        assert len(data) < 20_000, (name, len(data))
        with open(os.path.join(EXTRA, name), "wb") as f:
            f.write(data)
        print(f"{len(data):6} {name}")


if __name__ == "__main__":
    main()
