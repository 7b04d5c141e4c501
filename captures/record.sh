#!/bin/bash
# Records the capture real.pcapng (and the small extra/linux-sll.pcap).
#
#   sudo captures/record.sh [output.pcapng]
#
# Three network namespaces, joined by two veth pairs, all on this machine:
#
#   client                       router                       server
#   c0 192.0.2.1/24       ---    r0 192.0.2.254/24
#      2001:db8:1::1/64             2001:db8:1::fe/64
#                                r1 198.51.100.126/25   ---   s0 198.51.100.1/25, .2
#                                   2001:db8:2::fe/64            2001:db8:2::1/64, ::2
#   v10 198.51.100.129/26 ===    v10 198.51.100.190/26     (802.1Q, id 10, over c0-r0)
#       2001:db8:10::1/64            2001:db8:10::fe/64
#   q20 198.51.100.193/26 ===    q20 198.51.100.254/26     (802.1ad id 100 + 802.1Q id 20)
#
# tcpdump listens on c0, with nanosecond time stamps and no length limit.
# Segmentation and checksum offloads are off on every interface, so that each
# frame is recorded as it would be on a cable and each checksum is a real one.
#
# Needs root, and the Debian packages below.
set -euo pipefail

packages=   # those that are missing
need() { # need <Debian package> <program>...
    local package=$1 program; shift
    for program; do
        command -v "$program" >/dev/null && continue
        echo "record.sh: $program is missing" >&2
        case " $packages " in *" $package "*) ;; *) packages+=" $package" ;; esac
    done
}
need iproute2 ip tc ss
need ethtool ethtool
need tcpdump tcpdump
need tshark tshark
need wireshark-common editcap reordercap
need nginx-light nginx
need dnsmasq-base dnsmasq
need bind9-dnsutils dig
need curl curl
need iputils-ping ping
need iperf3 iperf3
need python3 python3
[ "$EUID" = 0 ] || echo "record.sh: must run as root" >&2
[ -z "$packages" ] || echo "record.sh: on Debian: apt-get install$packages" >&2
[ "$EUID" = 0 ] && [ -z "$packages" ] || exit 1

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/real.pcapng}
outdir=$(cd "$(dirname "$out")" && pwd)

C=mbufcap-c-$$  R=mbufcap-r-$$  S=mbufcap-s-$$
tmp=$(mktemp -d)
pids=()          # programs started here and still running
made=()          # namespaces made here

cleanup() {
    local rc=$? p n
    trap - EXIT INT TERM
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
    for n in "${made[@]}"; do ip netns del "$n" 2>/dev/null || true; done
    rm -rf "$tmp"
    exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '== %s\n' "$*"; }
c() { ip netns exec "$C" "$@"; }            # run in the client's namespace
# The same, for commands that are meant to fail (closed port, no answer).
cf() { ip netns exec "$C" "$@" >/dev/null 2>&1 || true; }
set_proc() { ip netns exec "$1" sh -c 'echo "$2" > "/proc/sys/net/$1"' sh "$2" "$3"; }

# Waits for a program started here to end, and forgets its id.
reap() {
    local k
    wait "$1" || true
    for k in "${!pids[@]}"; do
        if [ "${pids[$k]}" = "$1" ]; then unset "pids[$k]"; fi
    done
}
# Waits until a listening TCP socket on the port is there in the namespace.
wait_port() {
    local i
    for i in $(seq 50); do
        [ -z "$(ip netns exec "$1" ss -Hltn "sport = :$2")" ] || return 0
        sleep 0.1
    done
    echo "record.sh: nothing listens on port $2" >&2; exit 1
}
# Waits until no address in the namespace is still tentative.
wait_dad() {
    local i
    for i in $(seq 60); do
        [ -n "$(ip -n "$1" -6 addr show tentative)" ] || return 0
        sleep 0.1
    done
    echo "record.sh: address still tentative" >&2; exit 1
}

# ---------------------------------------------------------------- namespaces
say "namespaces"
for n in "$C" "$R" "$S"; do
    ip netns add "$n"; made+=("$n")
    ip -n "$n" link set lo up
done
ip -n "$C" link add c0 address 02:00:00:00:00:0c type veth \
    peer name r0 address 02:00:00:00:00:a0 netns "$R"
ip -n "$R" link add r1 address 02:00:00:00:00:a1 type veth \
    peer name s0 address 02:00:00:00:00:05 netns "$S"
for x in "$C c0" "$R r0" "$R r1" "$S s0"; do
    set -- $x
    ip netns exec "$1" ethtool -K "$2" tso off gso off gro off tx off rx off >/dev/null
done
set_proc "$R" ipv4/ip_forward 1
set_proc "$R" ipv6/conf/all/forwarding 1

# tcpdump starts while the other end is still down, so that the very first
# multicast reports and duplicate address checks are recorded as well. Not with
# --immediate-mode: that cuts frames at the MTU which was valid at the start.
ip -n "$C" link set c0 up
ip netns exec "$C" tcpdump -Z root -i c0 -s 0 -U -B 8192 \
    --time-stamp-precision=nano -w "$tmp/c0.pcap" 2>"$tmp/tcpdump.log" &
dump=$!; pids+=("$dump")
for i in $(seq 50); do grep -q listening "$tmp/tcpdump.log" && break; sleep 0.1; done
grep -q listening "$tmp/tcpdump.log"

ip -n "$R" link set r0 up
ip -n "$R" link set r1 up
ip -n "$S" link set s0 up
ip -n "$C" addr add 192.0.2.1/24 dev c0
ip -n "$C" addr add 2001:db8:1::1/64 dev c0
ip -n "$R" addr add 192.0.2.254/24 dev r0
ip -n "$R" addr add 2001:db8:1::fe/64 dev r0
ip -n "$R" addr add 198.51.100.126/25 dev r1
ip -n "$R" addr add 2001:db8:2::fe/64 dev r1
for a in 1 2; do
    ip -n "$S" addr add 198.51.100.$a/25 dev s0
    ip -n "$S" addr add 2001:db8:2::$a/64 dev s0
done
for n in "$C" "$R" "$S"; do wait_dad "$n"; done
ip -n "$C" route add default via 192.0.2.254
ip -n "$C" -6 route add default via 2001:db8:1::fe
ip -n "$S" route add default via 198.51.100.126
ip -n "$S" -6 route add default via 2001:db8:2::fe

# ------------------------------------------------------------------- servers
say "servers"
mkdir "$tmp/www"
printf 'hello from the small file\n' >"$tmp/www/small.txt"
# About 40 KB of text in which every line differs.
python3 -c 'import sys
lines = ("line %05d %052x\n" % (i, i * 2654435761 % 2**160) for i in range(640))
sys.stdout.write("".join(lines)[:40000])' >"$tmp/www/body40k.txt"
cat >"$tmp/nginx.conf" <<CONF
daemon off; master_process off; pid $tmp/nginx.pid; error_log $tmp/nginx.log;
events { worker_connections 64; }
http {
  access_log off; default_type text/plain; keepalive_timeout 5;
  client_body_temp_path $tmp/t1; proxy_temp_path $tmp/t2; fastcgi_temp_path $tmp/t3;
  uwsgi_temp_path $tmp/t4; scgi_temp_path $tmp/t5;
  server { listen 80; listen [::]:80; root $tmp/www; }
}
CONF
ip netns exec "$S" nginx -e "$tmp/nginx.log" -c "$tmp/nginx.conf" & pids+=("$!")

long=$(printf 'x%.0s' $(seq 200))
ip netns exec "$S" dnsmasq --keep-in-foreground --user=root --pid-file= \
    --conf-file=/dev/null --no-resolv --no-hosts --local=/example.test/ \
    --host-record=www.example.test,198.51.100.1,2001:db8:2::1 \
    --cname=web.example.test,www.example.test \
    --mx-host=example.test,mail.example.test,10 \
    --srv-host=_http._tcp.example.test,www.example.test,80 \
    --txt-record=example.test,"v=spf1 -all" \
    --txt-record=long.example.test,"1$long","2$long","3$long","4$long" \
    --log-facility="$tmp/dnsmasq.log" & pids+=("$!")

# Echoes UDP datagrams on port 7, IPv4 and IPv6.
cat >"$tmp/echo.py" <<'PY'
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 7))
while True:
    data, who = s.recvfrom(65535)
    s.sendto(data, who)
PY
ip netns exec "$S" python3 "$tmp/echo.py" & pids+=("$!")
cat >"$tmp/send.py" <<'PY'
import socket, sys
host, sizes = sys.argv[1], [int(a) for a in sys.argv[2:]]
fam, kind, proto, _, addr = socket.getaddrinfo(host, 7, type=socket.SOCK_DGRAM)[0]
s = socket.socket(fam, kind, proto)
s.settimeout(3)
for n in sizes:
    data = bytes((i * 7 + i // 256) & 255 for i in range(n))
    s.sendto(data, addr)
    assert s.recv(65535) == data
PY

# 802.1Q by hand, so that it also works on a kernel without VLAN support: a TAP
# interface whose frames leave through the veth with the tags put in front, and
# the other way round. Frames are padded to 60 bytes, as a network card does.
cat >"$tmp/tagger.py" <<'PY'
import fcntl, os, select, socket, struct, sys
lower, name, tags = sys.argv[1], sys.argv[2], sys.argv[3:]
tags = [tuple(int(x, 16) for x in t.split(":")) for t in tags]      # (type, id)
header = b"".join(struct.pack("!HH", *t) for t in tags)
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)                  # SOL_PACKET, PACKET_AUXDATA
s.bind((lower, 3))
while True:
    for fd in select.select([tap, s], [], [])[0]:
        if fd == tap:
            f = os.read(tap, 65535)
            s.send((f[:12] + header + f[12:]).ljust(60, b"\0"))
            continue
        f, aux, _, who = s.recvmsg(65535, 256)
        if who[2] == 4:                  # PACKET_OUTGOING: sent from here
            continue
        for level, kind, d in aux:       # the kernel hands over the outer tag apart
            if (level, kind) == (263, 8):
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", d[:20])
                if status & 0x10:        # TP_STATUS_VLAN_VALID
                    tpid = tpid if status & 0x40 else 0x8100
                    f = f[:12] + struct.pack("!HH", tpid, tci) + f[12:]
        if f[12:12 + len(header)] == header:
            g = f[:12] + f[12 + len(header):]
            if g[12:14] not in (b"\x81\x00", b"\x88\xa8"):
                os.write(tap, g)
PY
wait_port "$S" 80; wait_port "$S" 53

# ------------------------------------------------------------------- traffic
web4=http://198.51.100.1  web6='http://[2001:db8:2::1]'
get() { c curl -sS --max-time 10 -o /dev/null "$@"; }

say "ping, smallest to fragmented"
for a in 198.51.100.1 2001:db8:2::1; do
    c ping -q -c 2 -i 0.1 "$a"
    c ping -q -c 2 -i 0.1 -s 0 "$a"
    c ping -q -c 1 -s 18 "$a"           # over IPv4 exactly 60 bytes
    c ping -q -c 1 -s 1 "$a"
    c ping -q -c 2 -i 0.1 -s 3000 "$a"  # three fragments
    c ping -q -c 1 -s 8000 "$a"         # six fragments
done >/dev/null

say "DNS"
for a in 198.51.100.1 2001:db8:2::1; do
    for q in "A www" "AAAA www" "A web" "TXT" "MX" "SRV _http._tcp" "A nosuch" "TXT long"; do
        set -- $q
        c dig @"$a" +tries=1 +time=3 "${2:+$2.}example.test" "$1"
    done
    c dig @"$a" +tries=1 +time=3 -x 198.51.100.1
    # Without EDNS the long answer does not fit; dig asks again over TCP.
    c dig @"$a" +tries=1 +time=3 +noedns long.example.test TXT
done >/dev/null

say "HTTP"
for w in "$web4" "$web6"; do
    get "$w/small.txt"
    get "$w/missing.txt"
    get "$w/body40k.txt"
    get -I "$w/body40k.txt"
    get -r 1000-1999 "$w/body40k.txt" -: -sS -o /dev/null "$w/small.txt"  # one connection
done

say "UDP datagrams, also longer than the MTU"
for a in 198.51.100.1 2001:db8:2::1; do
    c python3 "$tmp/send.py" "$a" 0 1 2 17 18 19 500 1452 1453 1472 1473 5000
done

say "iperf3"
# iperf <server's address> <client's options>: a server of its own for each run.
iperf() {
    local srv
    ip netns exec "$S" iperf3 -s -1 -B "$1" >/dev/null & srv=$!; pids+=("$srv")
    wait_port "$S" 5201
    c iperf3 -c "$@" >/dev/null
    reap "$srv"
}
iperf 198.51.100.1 -n 150K -l 16K
iperf 2001:db8:2::1 -n 40K -l 8K -R
iperf 198.51.100.1 -u -b 10M -l 1200 -n 18K
iperf 2001:db8:2::1 -u -b 10M -l 1200 -n 9600
iperf 198.51.100.1 -u -b 10M -l 4000 -n 16000   # fragments

say "losses"
# Through a narrow queue on the router: duplicate and selective acknowledgements,
# retransmissions.
tc -n "$R" qdisc add dev r0 root tbf rate 4mbit burst 3200 limit 6000
get "$web4/body40k.txt"
tc -n "$R" qdisc del dev r0 root

say "ICMP errors and refused connections"
cf ping -q -c 1 -W 1 -t 1 198.51.100.1                 # time exceeded
cf ping -q -c 1 -W 1 -t 1 2001:db8:2::1
cf ping -q -c 1 -W 1 -t 1 -s 1400 198.51.100.1
cf ping -q -c 1 -W 1 2001:db8:3::1                     # no route
for a in 198.51.100.1 2001:db8:2::1; do
    cf dig @"$a" -p 5300 +tries=1 +time=1 www.example.test A    # port unreachable
done
cf curl -sS --max-time 3 "$web4:81/"              # RST
cf curl -sS --max-time 3 "$web6:81/"
# A narrower link behind the router: fragmentation needed, packet too big.
ip -n "$R" link set r1 mtu 1300; ip -n "$S" link set s0 mtu 1300
cf ping -q -c 1 -W 1 -M 'do' -s 1400 198.51.100.1
cf ping -q -c 2 -W 1 -i 0.2 -s 1400 2001:db8:2::1      # the second is fragmented
ip -n "$R" link set r1 mtu 1500; ip -n "$S" link set s0 mtu 1500
ip -n "$C" route flush cache; ip -n "$C" -6 route flush cache
cf ping -q -c 1 -W 4 198.51.100.77                     # host unreachable

say "VLAN"
for n in "$C c0" "$R r0"; do
    set -- $n
    ip netns exec "$1" python3 "$tmp/tagger.py" "$2" v10 8100:600a & pids+=("$!")
    ip netns exec "$1" python3 "$tmp/tagger.py" "$2" q20 88a8:0064 8100:0014 & pids+=("$!")
    for d in v10 q20; do
        for i in $(seq 50); do ip -n "$1" link show "$d" >/dev/null 2>&1 && break; sleep 0.1; done
        ip -n "$1" link set "$d" address "$(ip netns exec "$1" cat "/sys/class/net/$2/address")"
    done
    ip -n "$1" link set q20 mtu 1492
done
ip -n "$C" addr add 198.51.100.129/26 dev v10
ip -n "$R" addr add 198.51.100.190/26 dev v10
ip -n "$C" addr add 2001:db8:10::1/64 dev v10
ip -n "$R" addr add 2001:db8:10::fe/64 dev v10
ip -n "$C" addr add 198.51.100.193/26 dev q20
ip -n "$R" addr add 198.51.100.254/26 dev q20
for n in "$C" "$R"; do
    ip -n "$n" link set v10 up
    ip -n "$n" link set q20 up
done
wait_dad "$C"; wait_dad "$R"
# The server's second address is reached through the VLAN.
ip -n "$C" route add 198.51.100.2 via 198.51.100.190
ip -n "$C" -6 route add 2001:db8:2::2 via 2001:db8:10::fe
ip -n "$S" -6 route add 2001:db8:10::/64 via 2001:db8:2::fe
for a in 198.51.100.2 2001:db8:2::2; do
    c ping -q -c 1 "$a"
    c ping -q -c 1 -s 0 "$a"
    c ping -q -c 1 -s 2000 "$a"
    c dig @"$a" +tries=1 +time=3 www.example.test A
done >/dev/null
get http://198.51.100.2/small.txt
get -r 0-9999 http://198.51.100.2/body40k.txt
get 'http://[2001:db8:2::2]/small.txt'
c ping -q -c 1 198.51.100.254 >/dev/null
c ping -q -c 1 -s 1472 198.51.100.254 >/dev/null

say "jumbo frames"
for x in "$C c0" "$R r0" "$R r1" "$S s0"; do
    set -- $x
    ip -n "$1" link set "$2" mtu 9000
done
get "$web4/body40k.txt"
get "$web6/small.txt"
c ping -q -c 1 -s 8000 2001:db8:2::1 >/dev/null

# Last, a few frames in the "cooked" format of the pseudo-interface "any", in
# which also the loopback interface is seen.
say "cooked capture"
mkdir -p "$outdir/extra"
ip netns exec "$C" tcpdump -Z root -i any -y LINUX_SLL -s 0 -U --immediate-mode -c 14 \
    -w "$tmp/sll.pcap" 2>"$tmp/sll.log" &
sll=$!; pids+=("$sll")
for i in $(seq 50); do grep -q listening "$tmp/sll.log" && break; sleep 0.1; done
grep -q listening "$tmp/sll.log"
{
    c ping -q -c 1 192.0.2.1            # over lo
    c ping -q -c 1 ::1
    c ping -q -c 1 198.51.100.1
    c ping -q -c 1 2001:db8:2::1
    c dig @198.51.100.1 +tries=1 +time=3 www.example.test A
    c dig @2001:db8:2::1 +tries=1 +time=3 www.example.test AAAA
    c ping -q -c 3 -i 0.1 198.51.100.1
} >/dev/null
reap "$sll"

# ------------------------------------------------------------------ write out
sleep 1.5
kill -INT "$dump"; reap "$dump"
say "$(grep -E 'captured|dropped by kernel' "$tmp/tcpdump.log" | tr '\n' ' ')"
grep -q '^0 packets dropped by kernel' "$tmp/tcpdump.log"
# Frames handled by different processors at nearly the same moment can be
# written in the wrong order: sort by time stamp.
reordercap "$tmp/c0.pcap" "$tmp/sorted.pcap" >/dev/null
editcap -F pcapng "$tmp/sorted.pcap" "$tmp/real.pcapng"

# Every checksum must be right, no frame malformed and none cut.
bad=$(tshark -r "$tmp/real.pcapng" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE \
    -o udp.check_checksum:TRUE -Y 'ip.checksum.status == "Bad" || tcp.checksum.status == "Bad"
    || udp.checksum.status == "Bad" || icmp.checksum.status == "Bad"
    || icmpv6.checksum.status == "Bad" || _ws.malformed || frame.len != frame.cap_len' 2>/dev/null)
if [ -n "$bad" ]; then
    echo "record.sh: bad frames:" >&2; echo "$bad" >&2; exit 1
fi
cp "$tmp/real.pcapng" "$out"
cp "$tmp/sll.pcap" "$outdir/extra/linux-sll.pcap"
say "written: $(wc -c <"$out") bytes"
