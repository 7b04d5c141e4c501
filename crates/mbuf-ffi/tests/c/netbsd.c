/* NetBSD 1.4's mbuf(9), from its first line to its last, and what 1.5 and 1.6 added. */
#include <mbuf/netbsd.h>
#include "dialect.h"

static caddr_t freed;
static u_int freed_size;
static void *freed_arg;
static int frees;

static void give_back(caddr_t buf, u_int size, void *arg)
{
	freed = buf;
	freed_size = size;
	freed_arg = arg;
	frees++;
}

static int fetched;

static void fetch(const void *from, void *to, size_t len)
{
	memcpy(to, from, len);
	fetched += (int)len;
}

static void allocation(void)
{
	struct mbuf *m, *n;
	int i;

	MGET(m, M_WAIT, MT_SOOPTS);
	CHECK(m != NULL && m->m_type == MT_SOOPTS && m->m_flags == 0 && m->m_data == m->m_dat);
	CHECK(m->m_next == NULL && m->m_nextpkt == NULL);
	MCHTYPE(m, MT_FTABLE);
	CHECK(m->m_type == MT_FTABLE);
	MFREE(m, n);
	CHECK(n == NULL);
	MGETHDR(m, M_DONTWAIT, MT_HEADER);
	CHECK(m->m_flags == M_PKTHDR && m->m_data == m->m_pktdat && m->m_pkthdr.rcvif == NULL && m->m_pkthdr.len == 0);
	MCLGET(m, M_DONTWAIT);
	CHECK((m->m_flags & M_EXT) && m->m_ext.ext_size == MCLBYTES && mtod(m, caddr_t) == m->m_ext.ext_buf);
	CHECK(!MCLISREFERENCED(m));
	m_freem(m);
	m = m_get(M_DONTWAIT, MT_DATA);
	CHECK(m != NULL);
	dry(1);
	MCLGET(m, M_DONTWAIT);
	CHECK(!(m->m_flags & M_EXT));
	MGET(n, M_DONTWAIT, MT_DATA);
	CHECK(n == NULL);
	MGETHDR(n, M_DONTWAIT, MT_DATA);
	CHECK(n == NULL && m_getclr(M_DONTWAIT, MT_DATA) == NULL);
	CHECK(m_retry(M_DONTWAIT, MT_DATA) == NULL && m_retryhdr(M_DONTWAIT, MT_DATA) == NULL);
	dry(0);
	m_freem(m);
	m = m_retry(M_DONTWAIT, MT_DATA);
	n = m_retryhdr(M_DONTWAIT, MT_DATA);
	CHECK(m != NULL && n != NULL && !(m->m_flags & M_PKTHDR) && (n->m_flags & M_PKTHDR));
	m_freem(m);
	m_freem(n);
	m = m_getclr(M_WAIT, MT_SONAME);
	CHECK(m->m_type == MT_SONAME);
	for (i = 0; i < MLEN; i++)
		CHECK(m->m_dat[i] == 0);
	CHECK(m_free(m) == NULL);
	m = m_gethdr(M_WAIT, MT_CONTROL);
	CHECK(m->m_type == MT_CONTROL && (m->m_flags & M_PKTHDR));
	m_freem(m);
	m_freem(NULL);
	m_reclaim(M_DONTWAIT);
}

static void external(void)
{
	static char storage[3000];
	struct mbuf *m, *n;
	int softc;

	MGETHDR(m, M_DONTWAIT, MT_DATA);
	MEXTMALLOC(m, 5000, M_WAITOK);
	CHECK((m->m_flags & M_EXT) && m->m_ext.ext_size == 5000 && m->m_data == m->m_ext.ext_buf);
	memset(m->m_data, 1, 5000);
	m->m_len = m->m_pkthdr.len = 5000;
	n = m_copypacket(m, M_DONTWAIT);
	CHECK(MCLISREFERENCED(m) && MCLISREFERENCED(n) && M_READONLY(m));
	m_freem(m);
	CHECK(!MCLISREFERENCED(n) && n->m_data[4999] == 1);
	m_freem(n);
	MGET(m, M_DONTWAIT, MT_DATA);
	dry(1);
	MEXTMALLOC(m, 5000, M_NOWAIT);
	dry(0);
	CHECK(!(m->m_flags & M_EXT));
	m_freem(m);

	MGETHDR(m, M_DONTWAIT, MT_DATA);
	MEXTADD(m, storage, sizeof(storage), M_DEVBUF, give_back, &softc);
	CHECK((m->m_flags & M_EXT) && m->m_data == storage && m->m_ext.ext_size == sizeof(storage));
	CHECK(m->m_ext.ext_free == give_back && m->m_ext.ext_arg == &softc);
	m->m_len = m->m_pkthdr.len = 100;
	n = m_copym(m, 50, 10, M_DONTWAIT);
	CHECK(n->m_data == storage + 50);
	m_freem(n);
	CHECK_INT(frees, 0);
	m_freem(m);
	CHECK(frees == 1 && freed == storage && freed_size == sizeof(storage) && freed_arg == &softc);

	/* By hand, as drivers did for buffers of their own. */
	MGETHDR(m, M_DONTWAIT, MT_DATA);
	m->m_data = m->m_ext.ext_buf = storage;
	m->m_flags |= M_EXT;
	m->m_ext.ext_size = sizeof(storage);
	m->m_ext.ext_free = give_back;
	m->m_ext.ext_arg = &softc;
	MCLINITREFERENCE(m);
	m->m_data += 2;
	m->m_len = m->m_pkthdr.len = 60;
	n = m_copym(m, 0, M_COPYALL, M_DONTWAIT);
	CHECK(n->m_data == storage + 2 && MCLISREFERENCED(n));
	m_freem(m);
	m_freem(n);
	CHECK(frees == 2 && freed == storage && freed_size == sizeof(storage) && freed_arg == &softc);
	MGETHDR(m, M_DONTWAIT, MT_DATA);
	m->m_data = m->m_ext.ext_buf = storage;
	m->m_flags |= M_EXT;
	m->m_ext.ext_size = sizeof(storage);
	m->m_ext.ext_free = give_back;
	m->m_ext.ext_arg = &softc;
	dry(1);
	MCLINITREFERENCE(m);
	dry(0);
	CHECK(!(m->m_flags & M_EXT) && m->m_data == m->m_pktdat && m->m_len == 0 && frees == 3);
	m_freem(m);
	CHECK_INT(frees, 3);
}

/* A packet whose trailer is behind `off` bytes comes with what follows the trailer first. */
static void devices(void)
{
	static char from[5000], wanted[5000], got[5000];
	static const int offs[] = { 1, 2, 100, 512, 2048, 2500, 4995, 4996 };
	struct mbuf *m;
	size_t at;
	int i;

	for (i = 0; i < (int)sizeof(from); i++)
		from[i] = (char)(i % 251);
	fetched = 0;
	m = m_devget(from, sizeof(from), 0, (struct ifnet *)from, fetch);
	CHECK(m->m_pkthdr.len == sizeof(from) && m->m_pkthdr.rcvif == (struct ifnet *)from);
	CHECK_INT(fetched, sizeof(from));
	m_copydata(m, 0, sizeof(got), got);
	CHECK(memcmp(from, got, sizeof(got)) == 0);
	m_freem(m);
	for (at = 0; at < sizeof(offs) / sizeof(offs[0]); at++) {
		const int off = offs[at], rest = (int)sizeof(from) - off - 4;
		memcpy(wanted, from + off + 4, (size_t)rest);
		memcpy(wanted + rest, from, (size_t)off);
		fetched = 0;
		m = m_devget(from, sizeof(from), off, NULL, at % 2 ? fetch : NULL);
		CHECK(m != NULL && m->m_pkthdr.len == sizeof(from) - 4 && m_length(m, NULL) == sizeof(from) - 4);
		CHECK_INT(fetched, at % 2 ? sizeof(from) - 4 : 0);
		m_copydata(m, 0, sizeof(from) - 4, got);
		CHECK(memcmp(wanted, got, sizeof(from) - 4) == 0);
		m_freem(m);
	}
	/* What cannot be. */
	CHECK(m_devget(from, sizeof(from), 4997, NULL, fetch) == NULL);
	CHECK(m_devget(from, sizeof(from), -1, NULL, fetch) == NULL);
	CHECK(m_devget(from, 3, 1, NULL, fetch) == NULL);
	CHECK(m_devget(from, 0, 0, NULL, fetch) == NULL);
	CHECK(m_devget(from, -5, 2, NULL, fetch) == NULL);
	dry(1);
	CHECK(m_devget(from, 100, 0, NULL, NULL) == NULL);
	dry(0);
}

static int visit(void *arg, void *data, unsigned int len)
{
	char **to = (char **)arg;
	memcpy(*to, data, len);
	*to += len;
	return 0;
}

static void packets(void)
{
	char text[64], *at;
	struct mbuf *m, *n, *o;
	int off;

	m = digits();
	m->m_flags |= M_BCAST | M_LINK0;
	m->m_pkthdr.rcvif = (struct ifnet *)text;
	n = m_copym(m, 0, M_COPYALL, M_WAIT);
	CHECK(holds(n, "0123456789") && (n->m_flags & M_PKTHDR) && n->m_pkthdr.len == 10 && (n->m_flags & M_BCAST));
	m_freem(n);
	n = m_copym(m, 3, 4, M_DONTWAIT);
	CHECK(holds(n, "3456") && !(n->m_flags & M_PKTHDR));
	m_freem(n);
	n = m_copy(m, 5, 5);
	CHECK(holds(n, "56789") && mbufs(n) == 2);
	m_freem(n);
	CHECK(m_copym(m, 10, M_COPYALL, M_DONTWAIT) == NULL);
	n = m_copypacket(m, M_DONTWAIT);
	CHECK(holds(n, "0123456789") && n->m_pkthdr.len == 10);
	m_freem(n);
	n = m_dup(m, 2, 6, M_DONTWAIT);
	CHECK(holds(n, "234567"));
	for (o = n; o != NULL; o = o->m_next)
		CHECK(M_WRITABLE(o));
	m_freem(n);
	n = m_dup(m, 0, M_COPYALL, M_DONTWAIT);
	CHECK(holds(n, "0123456789") && (n->m_flags & M_PKTHDR) && n->m_pkthdr.len == 10);
	m_freem(n);

	MGETHDR(n, M_DONTWAIT, MT_DATA);
	M_COPY_PKTHDR(n, m);
	CHECK(n->m_pkthdr.len == 10 && n->m_pkthdr.rcvif == (struct ifnet *)text && n->m_data == n->m_pktdat);
	CHECK((n->m_flags & (M_BCAST | M_LINK0)) == (M_BCAST | M_LINK0) && (m->m_flags & M_PKTHDR));
	m_freem(n);
	MGET(n, M_DONTWAIT, MT_DATA);
	M_COPY_PKTHDR(n, m);
	CHECK((n->m_flags & M_PKTHDR) && n->m_data == n->m_pktdat && n->m_pkthdr.len == 10);
	m_freem(n);
	MGETHDR(n, M_DONTWAIT, MT_DATA);
	M_MOVE_PKTHDR(n, m);
	CHECK(n->m_pkthdr.len == 10 && !(m->m_flags & M_PKTHDR));
	m_freem(m);
	m_freem(n);

	m = digits();
	m_copydata(m, 2, 7, text);
	CHECK(memcmp(text, "2345678", 7) == 0);
	m_copyback(m, 9, 4, (caddr_t)"wxyz");
	CHECK(holds(m, "012345678wxyz") && m->m_pkthdr.len == 13);
	n = m_copym(m, 0, M_COPYALL, M_DONTWAIT);
	n = m_copyback_cow(n, 5, 2, "..", M_DONTWAIT);
	CHECK(holds(n, "01234..78wxyz") && holds(m, "012345678wxyz"));
	m_freem(n);
	n = m_copym(m, 0, M_COPYALL, M_DONTWAIT);
	CHECK(m_makewritable(&n, 0, M_COPYALL, M_DONTWAIT) == 0);
	for (o = n; o != NULL; o = o->m_next)
		CHECK(M_WRITABLE(o));
	m_freem(n);
	n = m_copym(m, 0, M_COPYALL, M_DONTWAIT);
	dry(1);
	n = m_copyback_cow(n, 5, 2, "..", M_DONTWAIT);
	dry(0);
	CHECK(n == NULL && holds(m, "012345678wxyz"));
	at = text;
	CHECK(m_apply(m, 3, 9, visit, &at) == 0 && memcmp(text, "345678wxy", 9) == 0);
	m_cat(m, m_copym(m, 0, 3, M_DONTWAIT));
	CHECK(holds(m, "012345678wxyz012") && m->m_pkthdr.len == 13);
	m_freem(m);

	m = digits();
	n = m_prepend(m, 14, M_DONTWAIT);
	CHECK(n != NULL && n->m_len == 14 && n->m_next == m && (n->m_flags & M_PKTHDR) && !(m->m_flags & M_PKTHDR));
	CHECK_INT(n->m_pkthdr.len, 10);
	m_freem(n);
	m = digits();
	M_PREPEND(m, 14, M_DONTWAIT);
	CHECK(m != NULL && m->m_pkthdr.len == 24);
	m_freem(m);
	m = digits();
	dry(1);
	M_PREPEND(m, 14, M_DONTWAIT);
	dry(0);
	CHECK(m == NULL && in_use() == 0);

	m = digits();
	n = m_split(m, 5, M_DONTWAIT);
	CHECK(holds(m, "01234") && holds(n, "56789") && m->m_pkthdr.len == 5 && n->m_pkthdr.len == 5);
	m_freem(n);
	CHECK(m_split(m, 6, M_DONTWAIT) == NULL);
	dry(1);
	CHECK(m_split(m, 2, M_DONTWAIT) == NULL && m->m_pkthdr.len == 5 && holds(m, "01234"));
	dry(0);
	m_freem(m);
	m = digits();
	m = m_pullup(m, 7);
	CHECK(m != NULL && m->m_len >= 7 && holds(m, "0123456789"));
	CHECK(m_pullup(m, 11) == NULL && in_use() == 0);
	m = digits();
	n = m_pulldown(m, 3, 4, &off);
	CHECK(n != NULL && memcmp(mtod(n, caddr_t) + off, "3456", 4) == 0);
	m_freem(m);
	m = m_copyup(digits(), 5, 30);
	CHECK(m != NULL && m->m_len == 5 && M_LEADINGSPACE(m) == 30);
	m_adj(m, 2);
	CHECK(holds(m, "23456789"));
	m_adj(m, -2);
	CHECK(holds(m, "234567") && m->m_pkthdr.len == 6);
	m_freem(m);

	MGET(m, M_DONTWAIT, MT_DATA);
	M_ALIGN(m, 8);
	CHECK(M_LEADINGSPACE(m) == MLEN - 8 && M_TRAILINGSPACE(m) == 8);
	m_freem(m);
	MGETHDR(m, M_DONTWAIT, MT_DATA);
	MH_ALIGN(m, 8);
	CHECK(M_LEADINGSPACE(m) == MHLEN - 8 && M_TRAILINGSPACE(m) == 8);
	m_freem(m);
}

static void statistics(void)
{
	struct mbstat stat;
	struct mbuf *m = m_get(M_DONTWAIT, MT_SONAME), *n = digits();
	mbuf_stat(&stat);
	CHECK(stat.m_mtypes[MT_SONAME] == 1 && stat.m_mtypes[MT_DATA] == 3 && stat.m_mtypes[MT_CONTROL] == 0);
	CHECK(stat.m_drops > 0 && stat.m_drain > 0);
	m_freem(m);
	m_freem(n);
}

static void names(void)
{
	static const uint32_t flags[] = { M_BCAST, M_MCAST, M_LINK0, M_LINK1, M_LINK2, M_ANYCAST6, M_LOOP, M_AUTHIPHDR, M_DECRYPTED,
		M_AUTHIPDGM };
	static const int types[] = { MT_DATA, MT_HEADER, MT_SONAME, MT_SOOPTS, MT_FTABLE, MT_CONTROL, MT_OOBDATA };
	static char storage[64];
	struct mbuf *m;

	flags_are_bits(flags, COUNT(flags));
	types_are_kept(types, COUNT(types));
	MGET(m, M_DONTWAIT, MT_DATA);
	MEXTADD(m, storage, sizeof(storage), M_MBUF, give_back, NULL);
	CHECK(!M_READONLY(m));
	m->m_flags |= M_ROMAP;
	CHECK(M_READONLY(m));
	m_freem(m);
}

/* What came after 1.6. */
static void later(void)
{
	static char from[100];
	struct ifnet *const ifp = (struct ifnet *)from;
	struct mbuf *m = m_devget(from, sizeof(from), 0, ifp), *n;
	struct m_tag *t;
	int s = 7;

	CHECK(m != NULL && m->m_pkthdr.len == sizeof(from));
	CHECK(m_get_rcvif(m, &s) == ifp && s == 0 && m_get_rcvif_NOMPSAFE(m) == ifp);
	m_put_rcvif(ifp, &s);
	m_reset_rcvif(m);
	CHECK(m->m_pkthdr.rcvif == NULL);
	m_set_rcvif(m, ifp);
	CHECK(m->m_pkthdr.rcvif == ifp);
	t = m_tag_get(5, 0, M_DONTWAIT);
	m_tag_prepend(m, t);
	m_tag_prepend(m, m_tag_get(5, 0, M_DONTWAIT));
	CHECK(m_tag_find(m, 5) == m_tag_first(m) && m_tag_find(m, 5, m_tag_first(m)) == t && m_tag_find(m, 6) == NULL);
	m_verify_packet(m);
	MCLAIM(m, &s);
	m_remove_pkthdr(m);
	CHECK(!(m->m_flags & M_PKTHDR) && m->m_len == sizeof(from));
	m_freem(m);
	n = m_devget(from, sizeof(from), 10, ifp);
	CHECK(n != NULL && n->m_pkthdr.len == sizeof(from) - 4);
	m_freem(n);
}

int main(void)
{
	allocation();
	later();
	external();
	devices();
	packets();
	statistics();
	names();
	CHECK_INT(in_use(), 0);
	return 0;
}
