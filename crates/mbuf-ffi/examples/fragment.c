/*
 * A fragmenter: cuts an IPv4 packet into ones that fit a link, as ip_fragment() of the BSDs does. The bytes are shared, not
 * copied; each fragment has a header of its own in front of them.
 *
 *     cc fragment.c $(pkg-config --cflags --libs mbuf) -o fragment
 *     ./fragment 5000 1500
 */
#define _DEFAULT_SOURCE
#include <mbuf.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>

#define LINKHDR 16

/*
 * The fragments of a packet whose header has no options, linked by m_nextpkt; the packet is freed. NULL, and the packet as it
 * was, if it may not be cut, if the link is too small, or without memory.
 */
static struct mbuf *fragment(struct mbuf *m, int mtu)
{
	struct mbuf *first = NULL, **next = &first, *n;
	const struct ip *ip = mtod(m, const struct ip *);
	const int hlen = (int)sizeof(*ip), total = ntohs(ip->ip_len), most = (mtu - hlen) & ~7;
	const uint16_t was = ntohs(ip->ip_off);
	int off;

	if (most < 8 || (was & IP_DF) != 0)
		return NULL;
	for (off = hlen; off < total; off += most) {
		const int len = total - off < most ? total - off : most;
		struct ip *own;

		n = m_gethdr(M_NOWAIT, MT_DATA);
		if (n == NULL)
			break;
		*next = n;
		next = &n->m_nextpkt;
		if (!m_dup_pkthdr(n, m, M_NOWAIT))
			break;
		n->m_data += LINKHDR;
		n->m_len = hlen;
		n->m_pkthdr.len = hlen + len;
		own = mtod(n, struct ip *);
		*own = *ip;
		own->ip_len = htons((uint16_t)(hlen + len));
		own->ip_off = htons((uint16_t)(was + (off - hlen) / 8));
		if (off + len < total)
			own->ip_off |= htons(IP_MF);
		n->m_next = m_copym(m, off, len, M_NOWAIT);
		if (n->m_next == NULL)
			break;
		own->ip_sum = 0;
		own->ip_sum = in_cksum(n, hlen);
	}
	if (off < total) {
		while ((n = first) != NULL) {
			first = n->m_nextpkt;
			n->m_nextpkt = NULL;
			m_freem(n);
		}
		return NULL;
	}
	m_freem(m);
	return first;
}

static struct mbuf *datagram(int len)
{
	struct mbuf *m = m_gethdr(M_WAITOK, MT_DATA);
	struct ip *ip;
	int i;

	if (m == NULL)
		return NULL;
	m->m_data += LINKHDR;
	m->m_len = m->m_pkthdr.len = (int)sizeof(*ip);
	ip = mtod(m, struct ip *);
	memset(ip, 0, sizeof(*ip));
	ip->ip_v = 4;
	ip->ip_hl = sizeof(*ip) / 4;
	ip->ip_len = htons((uint16_t)((int)sizeof(*ip) + len));
	ip->ip_id = htons(4711);
	ip->ip_ttl = 64;
	ip->ip_p = IPPROTO_UDP;
	ip->ip_src.s_addr = ip->ip_dst.s_addr = htonl(INADDR_LOOPBACK);
	ip->ip_sum = in_cksum(m, m->m_len);
	for (i = 0; i < len; i++) {
		const char byte = (char)(i % 251);
		if (!m_append(m, 1, &byte)) {
			m_freem(m);
			return NULL;
		}
	}
	return m;
}

int main(int argc, char **argv)
{
	const int len = argc > 1 ? atoi(argv[1]) : 5000, mtu = argc > 2 ? atoi(argv[2]) : 1500;
	struct mbuf *m, *next;

	if (len < 1 || len > IP_MAXPACKET - (int)sizeof(struct ip)) {
		fprintf(stderr, "fragment: 1 to %d bytes\n", IP_MAXPACKET - (int)sizeof(struct ip));
		return 2;
	}
	m = datagram(len);
	if (m == NULL || (next = fragment(m, mtu)) == NULL) {
		fprintf(stderr, "fragment: not possible\n");
		m_freem(m);
		return 1;
	}
	while ((m = next) != NULL) {
		const struct ip *ip = mtod(m, const struct ip *);
		const int at = (ntohs(ip->ip_off) & IP_OFFMASK) * 8;
		int i, good = in_cksum(m, m->m_len) == 0 && m->m_pkthdr.len == ntohs(ip->ip_len);
		next = m->m_nextpkt;
		m->m_nextpkt = NULL;
		printf("%d bytes from %d on%s", m->m_pkthdr.len, at, (ntohs(ip->ip_off) & IP_MF) ? ", more to come" : "");
		m_adj(m, (int)sizeof(*ip));
		for (i = 0; i < m->m_pkthdr.len; i++) {
			char byte;
			m_copydata(m, i, 1, &byte);
			good = good && byte == (char)((at + i) % 251);
		}
		printf(good ? "\n" : ": WRONG\n");
		m_freem(m);
	}
	return 0;
}
