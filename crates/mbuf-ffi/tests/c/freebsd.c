/* FreeBSD's mbuf(9), from its first line to its last: what each macro and function gives, does to fields, and how it fails. */
#include <mbuf/freebsd.h>
#include "dialect.h"

static struct mbuf *freed_m;
static void *freed[2];
static int frees;

static void free_by_mbuf(struct mbuf *m)
{
	CHECK(m->m_flags & M_EXT);
	freed_m = m;
	freed[0] = m->m_ext.ext_arg1;
	freed[1] = m->m_ext.ext_arg2;
	frees++;
}

static void free_by_args(void *arg1, void *arg2)
{
	freed[0] = arg1;
	freed[1] = arg2;
	frees++;
}

static void allocation(void)
{
	static const int flags[2] = { 0, M_PKTHDR };
	struct mbuf *m, *n;
	int i, room;

	MGET(m, M_WAITOK, MT_DATA);
	CHECK(m != NULL && m->m_flags == 0 && m->m_type == MT_DATA && m->m_data == m->m_dat);
	CHECK(m->m_next == NULL && m->m_nextpkt == NULL && m->m_len == 0);
	CHECK_INT(M_TRAILINGSPACE(m), MLEN);
	CHECK(MCLGET(m, M_NOWAIT) == 1);
	CHECK((m->m_flags & M_EXT) && m->m_ext.ext_type == EXT_CLUSTER && m->m_ext.ext_size == MCLBYTES);
	CHECK(m->m_data == m->m_ext.ext_buf && M_START(m) == m->m_ext.ext_buf && M_SIZE(m) == MCLBYTES);
	m_freem(m);
	MGETHDR(m, M_DONTWAIT, MT_DATA);
	CHECK(m->m_flags == M_PKTHDR && m->m_data == m->m_pktdat && m->m_pkthdr.len == 0 && m_rcvif(m) == NULL);
	CHECK(m->m_pkthdr.csum_flags == 0 && m->m_pkthdr.csum_data == 0 && m->m_pkthdr.tso_segsz == 0);
	CHECK(m->m_pkthdr.ether_vtag == 0 && m->m_pkthdr.header == NULL && m_tag_first(m) == NULL);
	CHECK_INT(M_TRAILINGSPACE(m), MHLEN);
	MCHTYPE(m, MT_CONTROL);
	CHECK(m->m_type == MT_CONTROL);
	m_freem(m);
	m = m_get(MBTOM(M_TRYWAIT), MT_SONAME);
	CHECK(m->m_type == MT_SONAME);
	CHECK(m_free(m) == NULL);
	m = m_gethdr(M_WAIT, MT_OOBDATA);
	CHECK(m->m_type == MT_OOBDATA);
	m_freem(m);
	m_freem(NULL);
	CHECK(m_free(NULL) == NULL);
	m = m_getclr(M_NOWAIT, MT_DATA);
	for (i = 0; i < MLEN; i++)
		CHECK(m->m_dat[i] == 0);
	m_freem(m);

	/* The smallest that fits. */
	for (i = 0; i < 2; i++) {
		const struct {
			int size, room;
		} fits[] = { { 1, i ? MHLEN : MLEN }, { i ? MHLEN : MLEN, i ? MHLEN : MLEN }, { MLEN + 1, MCLBYTES },
			     { MCLBYTES, MCLBYTES }, { MCLBYTES + 1, MJUMPAGESIZE }, { MJUMPAGESIZE, MJUMPAGESIZE } };
		size_t at;
		for (at = 0; at < sizeof(fits) / sizeof(fits[0]); at++) {
			m = m_get2(fits[at].size, M_NOWAIT, MT_DATA, flags[i]);
			CHECK(m != NULL && (m->m_flags & M_PKTHDR) == (u_int)flags[i]);
			CHECK_INT(M_SIZE(m), fits[at].room);
			m_freem(m);
		}
		CHECK(m_get2(MJUMPAGESIZE + 1, M_NOWAIT, MT_DATA, flags[i]) == NULL);
		m = m_get3(MJUMPAGESIZE + 1, M_NOWAIT, MT_DATA, flags[i]);
		CHECK(m != NULL && m->m_ext.ext_size == MJUM9BYTES && m->m_ext.ext_type == EXT_JUMBO9);
		m_freem(m);
		m = m_get3(MJUM16BYTES, M_NOWAIT, MT_DATA, flags[i]);
		CHECK(m != NULL && m->m_ext.ext_size == MJUM16BYTES && m->m_ext.ext_type == EXT_JUMBO16);
		m_freem(m);
		CHECK(m_get3(MJUM16BYTES + 1, M_NOWAIT, MT_DATA, flags[i]) == NULL);
		m = m_getjcl(M_NOWAIT, MT_DATA, flags[i], MJUMPAGESIZE);
		CHECK(m != NULL && m->m_ext.ext_size == MJUMPAGESIZE && m->m_ext.ext_type == EXT_JUMBOP);
		m_freem(m);
		m = m_getcl(M_NOWAIT, MT_DATA, flags[i]);
		CHECK(m != NULL && (int)m->m_flags == (flags[i] | M_EXT));
		m_freem(m);
	}

	/* A chain with room, alone or behind another. */
	m = m_getm(NULL, 5000, M_NOWAIT, MT_DATA);
	CHECK(m != NULL && (m->m_flags & M_PKTHDR));
	for (room = 0, n = m; n != NULL; n = n->m_next) {
		CHECK(n->m_len == 0);
		room += (int)M_TRAILINGSPACE(n);
	}
	CHECK(room >= 5000);
	i = mbufs(m);
	n = m_last(m);
	CHECK(m_getm(m, 3000, M_NOWAIT, MT_DATA) == m);
	CHECK(mbufs(m) > i && n->m_next != NULL && !(n->m_next->m_flags & M_PKTHDR));
	i = mbufs(m);
	dry(1);
	CHECK(m_getm(m, 3000, M_NOWAIT, MT_DATA) == NULL);
	CHECK(m_getm(NULL, 1, M_NOWAIT, MT_DATA) == NULL);
	CHECK_INT(mbufs(m), i);
	MGET(n, M_NOWAIT, MT_DATA);
	CHECK(n == NULL);
	MGETHDR(n, M_NOWAIT, MT_DATA);
	CHECK(n == NULL);
	CHECK(m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR) == NULL && m_getjcl(M_NOWAIT, MT_DATA, 0, MJUM9BYTES) == NULL);
	CHECK(m_get2(10, M_NOWAIT, MT_DATA, 0) == NULL);
	dry(0);
	m_freem(m);
	MGET(m, M_NOWAIT, MT_DATA);
	dry(1);
	CHECK(MCLGET(m, M_NOWAIT) == 0 && !(m->m_flags & M_EXT) && m->m_data == m->m_dat);
	dry(0);
	m_freem(m);
}

static void external(void)
{
	static char storage[3000];
	struct mbuf *m, *n;
	int one, two;

	MGETHDR(m, M_NOWAIT, MT_DATA);
	MEXTADD(m, storage, sizeof(storage), free_by_mbuf, &one, &two, 0, EXT_NET_DRV);
	CHECK((m->m_flags & M_EXT) && m->m_data == storage && m->m_ext.ext_buf == storage);
	CHECK(m->m_ext.ext_size == sizeof(storage) && m->m_ext.ext_type == EXT_NET_DRV);
	CHECK(m->m_ext.ext_arg1 == &one && m->m_ext.ext_arg2 == &two && m->m_ext.ext_free == free_by_mbuf);
	CHECK(M_WRITABLE(m) && M_TRAILINGSPACE(m) == sizeof(storage));
	m->m_len = m->m_pkthdr.len = 3000;
	n = m_copypacket(m, M_NOWAIT);
	CHECK(n->m_data == storage && !M_WRITABLE(m) && !M_WRITABLE(n));
	m_freem(m);
	CHECK(frees == 0 && M_WRITABLE(n));
	m_freem(n);
	CHECK(frees == 1 && freed_m != NULL && freed[0] == &one && freed[1] == &two);

	/* As it was before FreeBSD 13. */
	MGET(m, M_NOWAIT, MT_DATA);
	m_extadd(m, storage, sizeof(storage), free_by_args, &two, &one, M_RDONLY, EXT_MOD_TYPE);
	CHECK((m->m_flags & M_RDONLY) && !M_WRITABLE(m) && M_TRAILINGSPACE(m) == 0 && M_LEADINGSPACE(m) == 0);
	/* It stays so, whatever is assigned. */
	storage[0] = 's';
	m->m_len = 1;
	m->m_flags = M_EXT;
	m_copyback(m, 0, 1, "w");
	CHECK(*mtod(m, char *) == 'w' && storage[0] == 's');
	m_freem(m);
	CHECK(frees == 2 && freed[0] == &two && freed[1] == &one);

	/* By hand. */
	MGET(m, M_NOWAIT, MT_DATA);
	m->m_ext.ext_buf = storage;
	m->m_ext.ext_size = sizeof(storage);
	m->m_ext.ext_type = EXT_EXTREF;
	m->m_ext.ext_flags = 0;
	m->m_ext.ext_free = free_by_mbuf;
	m->m_ext.ext_arg1 = &one;
	m->m_ext.ext_arg2 = NULL;
	m->m_data = storage + 10;
	m->m_flags |= M_EXT;
	CHECK_INT(M_LEADINGSPACE(m), 10);
	m_freem(m);
	CHECK(frees == 3 && freed[0] == &one && freed[1] == NULL);

	/* Without memory nothing is attached, and the callback is not called. */
	MGET(m, M_NOWAIT, MT_DATA);
	dry(1);
	MEXTADD(m, storage, sizeof(storage), free_by_mbuf, NULL, NULL, 0, EXT_NET_DRV);
	dry(0);
	CHECK(!(m->m_flags & M_EXT) && frees == 3);
	m_freem(m);
}

static void utilities(void)
{
	struct mbuf *m, *n;
	int i;

	m = digits();
	CHECK(mtod(m, char *) == m->m_data && mtodo(m, 2) == (void *)(m->m_data + 2));
	m_freem(m);
	MGET(m, M_NOWAIT, MT_DATA);
	M_ALIGN(m, 33);
	CHECK((uintptr_t)m->m_data % sizeof(long) == 0 && M_LEADINGSPACE(m) == MLEN - 40);
	m_freem(m);
	MGETHDR(m, M_NOWAIT, MT_DATA);
	MH_ALIGN(m, 16);
	CHECK_INT(M_LEADINGSPACE(m), MHLEN - 16);
	m_freem(m);
	m = m_getcl(M_NOWAIT, MT_DATA, 0);
	m_align(m, 1000);
	CHECK_INT(M_LEADINGSPACE(m), MCLBYTES - 1000);
	m_freem(m);

	/* Room in front is used if it is there. */
	m = digits();
	n = m;
	M_PREPEND(m, 2, M_NOWAIT);
	CHECK(m != NULL && m != n && m->m_next == n && m->m_len == 2 && m->m_pkthdr.len == 12);
	CHECK((m->m_flags & M_PKTHDR) && !(n->m_flags & M_PKTHDR));
	memcpy(mtod(m, char *), "<<", 2);
	n = m;
	i = (int)M_LEADINGSPACE(m);
	CHECK(i >= 8);
	M_PREPEND(m, 8, M_NOWAIT);
	CHECK(m == n && m->m_len == 10 && m->m_pkthdr.len == 20 && M_LEADINGSPACE(m) == i - 8);
	memcpy(mtod(m, char *), "12345678", 8);
	CHECK(holds(m, "12345678<<0123456789"));
	m_freem(m);
	m = digits();
	dry(1);
	M_PREPEND(m, 2, M_NOWAIT);
	dry(0);
	CHECK(m == NULL);
	m = digits();
	n = m_prepend(m, 40, M_NOWAIT);
	CHECK(n != NULL && n->m_len == 40 && n->m_pkthdr.len == 10 && n->m_next == m);
	m_freem(n);

	/* The header moves with its tags. */
	m = digits();
	m->m_flags |= M_BCAST | M_VLANTAG;
	m->m_pkthdr.ether_vtag = 7;
	m_tag_prepend(m, m_tag_get(1, 8, M_NOWAIT));
	MGETHDR(n, M_NOWAIT, MT_DATA);
	M_MOVE_PKTHDR(n, m);
	CHECK((n->m_flags & (M_PKTHDR | M_BCAST | M_VLANTAG)) == (M_PKTHDR | M_BCAST | M_VLANTAG));
	CHECK(n->m_pkthdr.len == 10 && n->m_pkthdr.ether_vtag == 7 && m_tag_find(n, 1, NULL) != NULL);
	CHECK(!(m->m_flags & M_PKTHDR));
	m_freem(m);
	MGETHDR(m, M_NOWAIT, MT_DATA);
	CHECK(m_dup_pkthdr(m, n, M_NOWAIT) == 1);
	CHECK(m->m_pkthdr.len == 10 && m->m_pkthdr.ether_vtag == 7 && (m->m_flags & M_BCAST));
	CHECK(m_tag_find(m, 1, NULL) != NULL && m_tag_find(m, 1, NULL) != m_tag_find(n, 1, NULL));
	CHECK(m_tag_find(n, 1, NULL) != NULL);
	m_freem(m);
	m_freem(n);
}

static int visit(void *arg, void *data, u_int len)
{
	char **to = (char **)arg;
	memcpy(*to, data, len);
	*to += len;
	return len == 2 ? 17 : 0;
}

static void changes(void)
{
	char text[64], *at;
	struct mbuf *m, *n;
	int off;

	m = digits();
	m_adj(m, 3);
	CHECK(holds(m, "3456789") && m->m_pkthdr.len == 7);
	m_adj(m, -4);
	CHECK(holds(m, "345") && m->m_pkthdr.len == 3);
	m_adj(m, -100);
	CHECK(holds(m, "") && m->m_pkthdr.len == 0);
	m_adj(NULL, 5);
	CHECK(m_append(m, 5, (c_caddr_t)"abcde") == 1 && holds(m, "abcde") && m->m_pkthdr.len == 5);
	m_freem(m);

	m = digits();
	n = m_pullup(m, 4);
	CHECK(n == m && m->m_len == 4);
	n = m_pullup(m, 9);
	CHECK(n != NULL && n->m_len >= 9 && holds(n, "0123456789") && n->m_pkthdr.len == 10);
	CHECK(m_pullup(n, 11) == NULL);
	CHECK_INT(in_use(), 0);
	m = digits();
	m->m_data += MHLEN - 4;
	memcpy(m->m_data, "0123", 4);
	dry(1);
	CHECK(m_pullup(m, 8) == NULL);
	dry(0);
	CHECK_INT(in_use(), 0);
	m = digits();
	n = m_copyup(m, 6, 20);
	CHECK(n != NULL && n->m_len == 6 && M_LEADINGSPACE(n) == 20 && holds(n, "0123456789"));
	CHECK(m_copyup(n, 11, 0) == NULL);
	CHECK_INT(in_use(), 0);
	m = digits();
	n = m_pulldown(m, 2, 6, &off);
	CHECK(n != NULL && off + 6 <= n->m_len && memcmp(mtod(n, char *) + off, "234567", 6) == 0);
	CHECK(holds(m, "0123456789"));
	n = m_pulldown(m, 7, 2, NULL);
	CHECK(n != NULL && n->m_len >= 2 && memcmp(mtod(n, char *), "78", 2) == 0 && holds(m, "0123456789"));
	CHECK(m_pulldown(m, 5, 6, &off) == NULL);
	CHECK_INT(in_use(), 0);

	m = digits();
	m_copyback(m, 8, 5, (c_caddr_t)"vwxyz");
	CHECK(holds(m, "01234567vwxyz") && m->m_pkthdr.len == 13);
	m_copydata(m, 3, 7, (caddr_t)text);
	CHECK(memcmp(text, "34567vw", 7) == 0);
	n = m_getptr(m, 5, &off);
	CHECK(n == m->m_next && off == 1);
	CHECK(m_getptr(m, 14, &off) == NULL);
	at = text;
	CHECK(m_apply(m, 1, 7, visit, &at) == 0 && at == text + 7 && memcmp(text, "1234567", 7) == 0);
	CHECK(m_apply(m, 2, 2, visit, &at) == 17);
	CHECK(m_length(m, &n) == 13 && n == m_last(m) && m_length(m, NULL) == 13);
	m->m_pkthdr.len = 1;
	CHECK(m_fixhdr(m) == 13 && m->m_pkthdr.len == 13);

	n = m_split(m, 6, M_NOWAIT);
	CHECK(holds(m, "012345") && holds(n, "67vwxyz") && m->m_pkthdr.len == 6 && n->m_pkthdr.len == 7);
	m_catpkt(m, n);
	CHECK(holds(m, "01234567vwxyz") && m->m_pkthdr.len == 13);
	CHECK(m_split(m, 100, M_NOWAIT) == NULL && holds(m, "01234567vwxyz"));
	dry(1);
	CHECK(m_split(m, 6, M_NOWAIT) == NULL && holds(m, "01234567vwxyz") && m->m_pkthdr.len == 13);
	dry(0);
	n = digits();
	m_cat(m, n);
	CHECK(holds(m, "01234567vwxyz0123456789") && m->m_pkthdr.len == 13);
	m_fixhdr(m);
	CHECK_INT(m_sanity(m, 1), 1);
	CHECK_INT(m_sanity(m, 0), 1);
	m_demote(m, 1, 0);
	for (n = m; n != NULL; n = n->m_next)
		CHECK(!(n->m_flags & M_PKTHDR));
	m_freem(m);
}

static void copies(void)
{
	static char from[5000];
	char to[5000];
	struct mbuf *m, *n, *o;
	int i;

	m = digits();
	n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
	CHECK(holds(n, "0123456789") && (n->m_flags & M_PKTHDR) && n->m_pkthdr.len == 10);
	CHECK(n->m_next->m_data == m->m_next->m_data && !M_WRITABLE(m->m_next));
	m_freem(n);
	n = m_copym(m, 2, 5, M_WAITOK);
	CHECK(holds(n, "23456") && !(n->m_flags & M_PKTHDR));
	m_freem(n);
	n = m_copypacket(m, M_DONTWAIT);
	CHECK(holds(n, "0123456789") && n->m_pkthdr.len == 10);
	n = m_unshare(n, M_NOWAIT);
	CHECK(n != NULL && holds(n, "0123456789"));
	for (o = n; o != NULL; o = o->m_next)
		CHECK(M_WRITABLE(o));
	m_freem(n);
	n = m_dup(m, M_NOWAIT);
	CHECK(holds(n, "0123456789") && n->m_pkthdr.len == 10 && mbufs(n) == 1 && M_WRITABLE(n));
	m_freem(n);
	dry(1);
	CHECK(m_copym(m, 0, M_COPYALL, M_NOWAIT) == NULL && m_copypacket(m, M_NOWAIT) == NULL && m_dup(m, M_NOWAIT) == NULL);
	CHECK(m_defrag(m, M_NOWAIT) == NULL && holds(m, "0123456789"));
	dry(0);
	m = m_defrag(m, M_NOWAIT);
	CHECK(mbufs(m) == 1 && holds(m, "0123456789") && m->m_pkthdr.len == 10);
	m_freem(m);
	for (m = NULL, i = 0; i < 6; i++) {
		if (m == NULL)
			m = digits();
		else
			m_catpkt(m, digits());
	}
	n = m_collapse(m, M_NOWAIT, 3);
	CHECK(n == m && mbufs(m) <= 3 && m->m_pkthdr.len == 60);
	CHECK(holds(m, "012345678901234567890123456789012345678901234567890123456789"));
	m_freem(m);

	for (i = 0; i < (int)sizeof(from); i++)
		from[i] = (char)(i % 251);
	m = m_devget(from, sizeof(from), 0, (struct ifnet *)from, NULL);
	CHECK(m->m_pkthdr.len == sizeof(from) && m_rcvif(m) == (struct ifnet *)from);
	m_copydata(m, 0, sizeof(to), to);
	CHECK(memcmp(from, to, sizeof(to)) == 0);
	m_freem(m);
	CHECK(m_devget(from, 0, 0, NULL, NULL) == NULL);
	/* Room in front: of the link's header, and as much as is asked for. */
	CHECK_INT(max_linkhdr, 16);
	m = m_devget(from, 60, 2, NULL, NULL);
	CHECK(m != NULL && M_LEADINGSPACE(m) == 18 && m->m_len == 60 && m->m_pkthdr.len == 60);
	m_freem(m);
	max_linkhdr = 40;
	m = m_devget(from, 60, MHLEN, NULL, NULL);
	CHECK(m != NULL && M_LEADINGSPACE(m) == 40 + MHLEN);
	m_freem(m);
	max_linkhdr = 16;
	CHECK(m_devget(from, 60, -1, NULL, NULL) == NULL && m_devget(from, 60, MHLEN + 1, NULL, NULL) == NULL);
	CHECK(max_hdr == max_linkhdr + max_protohdr && max_datalen == MHLEN - max_linkhdr);
}

static void tags_and_sums(void)
{
	struct mbuf *m = digits();
	struct m_tag *t = m_tag_alloc(1234, 5, 16, M_NOWAIT), *u;
	struct mbstat stat;

	CHECK(t != NULL && t->m_tag_cookie == 1234 && t->m_tag_id == 5 && t->m_tag_len == 16);
	m_tag_prepend(m, t);
	CHECK(m_tag_locate(m, 1234, 5, NULL) == t && m_tag_locate(m, 1234, 5, t) == NULL && m_tag_find(m, 5, NULL) == NULL);
	u = m_tag_copy(t, M_NOWAIT);
	CHECK(u != NULL && u != t && u->m_tag_len == 16);
	m_tag_prepend(m, u);
	CHECK(m_tag_first(m) == u && m_tag_next(m, u) == t && m_tag_next(m, t) == NULL);
	m_tag_unlink(m, u);
	m_tag_free(u);
	m_tag_delete(m, t);
	CHECK(m_tag_first(m) == NULL);

	m->m_pkthdr.csum_flags = CSUM_IP | CSUM_TCP | CSUM_UDP;
	CHECK((m->m_pkthdr.csum_flags & CSUM_DELAY_DATA) && (m->m_pkthdr.csum_flags & CSUM_DELAY_IP));
	m->m_pkthdr.csum_flags |= CSUM_IP_CHECKED | CSUM_IP_VALID | CSUM_DATA_VALID | CSUM_PSEUDO_HDR;
	m->m_flags |= M_PROTO1 | M_FRAG | M_FIRSTFRAG | M_LASTFRAG | M_MCAST | M_PROMISC;
	m_clrprotoflags(m);
	CHECK((m->m_flags & (M_PROTO1 | M_FRAG | M_MCAST)) == M_MCAST);
	CHECK_INT(in_cksum(m, 10), (uint16_t)~((0x3130 + 0x3332 + 0x3534 + 0x3736 + 0x3938) % 0xffff));
	mbuf_stat(&stat);
	CHECK(stat.m_mbufs == 3 && stat.m_mclusts >= 1 && stat.m_msize == MSIZE && stat.m_mclbytes == MCLBYTES);
	CHECK(stat.m_mlen == MLEN && stat.m_mhlen == MHLEN && stat.m_minclsize == MINCLSIZE && stat.m_numtypes > 0);
	m_freem(m);
}

static void names(void)
{
	static const uint32_t flags[] = { M_BCAST, M_MCAST, M_PROMISC, M_VLANTAG, M_PROTO1, M_PROTO2, M_PROTO3, M_PROTO4, M_PROTO5,
		M_PROTO6, M_PROTO7, M_PROTO8, M_PROTO9, M_PROTO10, M_PROTO11 };
	static const uint32_t fragments[] = { M_SKIP_FIREWALL, M_FRAG, M_FIRSTFRAG, M_LASTFRAG };
	static const int types[] = { MT_DATA, MT_HEADER, MT_SONAME, MT_CONTROL, MT_OOBDATA, MT_VENDOR1, MT_VENDOR2, MT_VENDOR3,
		MT_VENDOR4, MT_EXP1, MT_EXP2, MT_EXP3, MT_EXP4 };
	static const int exts[] = { EXT_SFBUF, EXT_PACKET, EXT_MBUF, EXT_RXRING, EXT_NET_DRV, EXT_MOD_TYPE, EXT_VENDOR1, EXT_VENDOR2,
		EXT_VENDOR3, EXT_VENDOR4, EXT_EXP1, EXT_EXP2, EXT_EXP3, EXT_EXP4, EXT_DISPOSABLE, EXT_EXTREF };
	static const uint32_t sums[] = { CSUM_IP, CSUM_IP_UDP, CSUM_IP_TCP, CSUM_IP_SCTP, CSUM_IP_TSO, CSUM_IP6_UDP, CSUM_IP6_TCP,
		CSUM_IP6_SCTP, CSUM_IP6_TSO, CSUM_L3_CALC, CSUM_L3_VALID, CSUM_L4_CALC, CSUM_L4_VALID };
	static char storage[64];
	struct mbuf *m, *n;
	uint32_t all = 0;
	size_t i;

	flags_are_bits(flags, COUNT(flags));
	flags_are_bits(fragments, COUNT(fragments));
	types_are_kept(types, COUNT(types));
	for (i = 4; i < COUNT(flags); i++)
		all |= flags[i];
	CHECK(all == M_PROTOFLAGS && (M_COPYFLAGS & (M_EXT | M_RDONLY | M_EOR)) == 0);
	CHECK((M_COPYFLAGS & (M_PROTOFLAGS | M_PKTHDR | M_BCAST)) == (M_PROTOFLAGS | M_PKTHDR | M_BCAST));
	m = m_get(M_NOWAIT, MT_NOINIT);
	CHECK(m->m_len == 0 && m->m_next == NULL && MT_NOTMBUF == MT_FREE);
	m_freem(m);
	for (i = 0; i < COUNT(exts); i++) {
		MGETHDR(m, M_NOWAIT, MT_DATA);
		MEXTADD(m, storage, sizeof(storage), free_by_mbuf, NULL, NULL, 0, exts[i]);
		CHECK((int)m->m_ext.ext_type == exts[i] && exts[i] != EXT_CLUSTER && exts[i] != EXT_JUMBOP);
		CHECK(exts[i] != EXT_JUMBO9 && exts[i] != EXT_JUMBO16);
		m_freem(m);
	}
	for (all = 0, i = 0; i < COUNT(sums); i++) {
		CHECK((sums[i] & (sums[i] - 1)) == 0 && !(all & sums[i]));
		all |= sums[i];
	}
	CHECK(CSUM_UDP == CSUM_IP_UDP && CSUM_TCP == CSUM_IP_TCP && CSUM_SCTP == CSUM_IP_SCTP && CSUM_DELAY_IP == CSUM_IP);
	CHECK(CSUM_TSO == (CSUM_IP_TSO | CSUM_IP6_TSO) && CSUM_DELAY_DATA == (CSUM_TCP | CSUM_UDP));
	CHECK(CSUM_TCP_IPV6 == CSUM_IP6_TCP && CSUM_UDP_IPV6 == CSUM_IP6_UDP && CSUM_SCTP_IPV6 == CSUM_IP6_SCTP);
	CHECK(CSUM_DELAY_DATA_IPV6 == (CSUM_TCP_IPV6 | CSUM_UDP_IPV6));
	CHECK(MCLBYTES == 1 << MCLSHIFT && MINCLSIZE == MHLEN + 1 && MSIZE == sizeof(struct mbuf));

	m = digits();
	CHECK(M_HASHTYPE_GET(m) == M_HASHTYPE_NONE);
	M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE);
	m->m_pkthdr.flowid = 77;
	n = m_copypacket(m, M_NOWAIT);
	CHECK(M_HASHTYPE_GET(n) == M_HASHTYPE_OPAQUE && n->m_pkthdr.flowid == 77);
	M_HASHTYPE_CLEAR(n);
	CHECK(M_HASHTYPE_GET(n) == M_HASHTYPE_NONE);
	m_freem(n);
	CHECK_INT(in_cksum_skip(m, 10, 2), (uint16_t)~((0x3332 + 0x3534 + 0x3736 + 0x3938) % 0xffff));
	CHECK_INT(in_cksum_skip(m, 10, 0), in_cksum(m, 10));
	m_tag_prepend(m, m_tag_alloc(MTAG_ABI_COMPAT, 9, 0, M_NOWAIT));
	CHECK(m_tag_find(m, 9, NULL) != NULL);
	m_demote_pkthdr(m);
	CHECK(!(m->m_flags & M_PKTHDR) && holds(m, "0123456789"));
	m_freem(m);
	MGET(m, M_NOWAIT, MT_DATA);
	CHECK(m_cljget(m, M_NOWAIT, MJUM9BYTES) == m->m_data && m->m_ext.ext_size == MJUM9BYTES);
	MEXT_ALIGN(m, 1000);
	CHECK(m_leadingspace(m) == MJUM9BYTES - 1000 && m_trailingspace(m) == 1000 && m_writable(m));
	m_freem(m);
	MGET(m, M_NOWAIT, MT_DATA);
	CHECK(m_cljget(m, M_NOWAIT, 1000) == NULL && m_clget(m, M_NOWAIT) == 1 && m->m_ext.ext_size == MCLBYTES);
	m_freem(m);
}

/* What <sys/mbuf.h> has beside what its manual page tells of. */
static void beside(void)
{
	static const int tags[] = { PACKET_TAG_NONE, PACKET_TAG_IPSEC_IN_DONE, PACKET_TAG_IPSEC_OUT_DONE, PACKET_TAG_IPSEC_IN_CRYPTO_DONE,
		PACKET_TAG_IPSEC_OUT_CRYPTO_NEEDED, PACKET_TAG_IPSEC_IN_COULD_DO_CRYPTO, PACKET_TAG_IPSEC_PENDING_TDB, PACKET_TAG_BRIDGE,
		PACKET_TAG_GIF, PACKET_TAG_GRE, PACKET_TAG_IN_PACKET_CHECKSUM, PACKET_TAG_ENCAP, PACKET_TAG_IPSEC_SOCKET,
		PACKET_TAG_IPSEC_HISTORY, PACKET_TAG_IPV6_INPUT, PACKET_TAG_DUMMYNET, PACKET_TAG_DIVERT, PACKET_TAG_IPFORWARD, PACKET_TAG_MACLABEL,
		PACKET_TAG_PF, PACKET_TAG_RTSOCKFAM, PACKET_TAG_IPOPTIONS, PACKET_TAG_CARP, PACKET_TAG_IPSEC_NAT_T_PORTS, PACKET_TAG_ND_OUTGOING };
	struct mbuf *m = digits(), *copy;
	size_t i;

	M_ASSERTPKTHDR(m);
	for (i = 0; i < COUNT(tags); i++) {
		CHECK(m_tag_find(m, tags[i], NULL) == NULL);
		m_tag_prepend(m, m_tag_get(tags[i], 0, M_NOWAIT));
		CHECK(m_tag_find(m, tags[i], NULL) == m_tag_first(m));
	}
	/* Two are persistent, the later one first. */
	m_tag_delete_nonpersistent(m);
	CHECK(m_tag_first(m) == m_tag_find(m, PACKET_TAG_PF, NULL));
	CHECK(m_tag_next(m, m_tag_first(m)) == m_tag_find(m, PACKET_TAG_MACLABEL, NULL));
	CHECK(m_tag_next(m, m_tag_find(m, PACKET_TAG_MACLABEL, NULL)) == NULL);
	m->m_pkthdr.PH_loc.sixtyfour[0] = 0x1122334455667788;
	copy = m_copypacket(m, M_NOWAIT);
	CHECK(copy->m_pkthdr.PH_loc.thirtytwo[0] == 0x55667788 || copy->m_pkthdr.PH_loc.thirtytwo[0] == 0x11223344);
	m->m_pkthdr.PH_loc.ptr = m;
	CHECK(m->m_pkthdr.header == m && m->m_pkthdr.PH_loc.unintptr[0] == (uintptr_t)m);
	m->m_nextpkt = copy;
	m_freemp(m);
	CHECK_INT(in_use(), 0);
	m_freemp(NULL);
}

int main(void)
{
	allocation();
	beside();
	external();
	utilities();
	changes();
	copies();
	tags_and_sums();
	names();
	CHECK_INT(in_use(), 0);
	return 0;
}
