/* Every function of mbuf.h once or more: what it returns, what it does to fields, and how it fails. */
#include <mbuf.h>
#include <errno.h>
#include "check.h"

static struct mbuf *packet(const char *bytes)
{
	struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
	CHECK(m != NULL);
	m_copyback(m, 0, (int)strlen(bytes), bytes);
	CHECK_INT(m->m_pkthdr.len, (int)strlen(bytes));
	return m;
}

/* A chain built by hand, with headers everywhere. */
static struct mbuf *by_hand(const char *a, const char *b, const char *c)
{
	const char *parts[3] = { a, b, c };
	struct mbuf *first = NULL, **place = &first;
	for (int i = 0; i < 3; i++) {
		struct mbuf *m = i == 1 ? m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR) : m_gethdr(M_NOWAIT, MT_DATA);
		CHECK(m != NULL);
		memcpy(mtod(m, char *), parts[i], strlen(parts[i]));
		m->m_len = (int)strlen(parts[i]);
		*place = m;
		place = &m->m_next;
		first->m_pkthdr.len += m->m_len;
	}
	return first;
}

static int is(const struct mbuf *m, const char *bytes)
{
	char got[256];
	int len = (int)m_length((struct mbuf *)(uintptr_t)m, NULL);
	if (len != (int)strlen(bytes))
		return 0;
	m_copydata(m, 0, len, got);
	return memcmp(got, bytes, (size_t)len) == 0;
}

static int released;
static void release(struct mbuf *m)
{
	CHECK(m->m_flags & M_EXT);
	released += *(int *)m->m_ext.ext_arg1;
}

static int count(void *arg, void *data, unsigned int len)
{
	(void)data;
	*(unsigned int *)arg += len;
	return 0;
}

int main(void)
{
	struct mbuf *m, *n, *o;
	char buf[64];
	int off;
	unsigned int sum;

	/* What is fresh is empty. */
	m = m_get(M_NOWAIT, MT_DATA);
	CHECK(m->m_len == 0 && m->m_next == NULL && m->m_nextpkt == NULL && m->m_flags == 0 && m->m_type == MT_DATA);
	CHECK(m->m_data == m->m_dat && M_TRAILINGSPACE(m) == MLEN && M_LEADINGSPACE(m) == 0 && M_WRITABLE(m));
	M_ALIGN(m, 20);
	CHECK_INT(M_LEADINGSPACE(m), MLEN - 24);
	CHECK(m_free(m) == NULL);
	m = m_gethdr(M_NOWAIT, MT_CONTROL);
	CHECK(m->m_flags == M_PKTHDR && m->m_pkthdr.len == 0 && m->m_pkthdr.rcvif == NULL && m->m_type == MT_CONTROL);
	CHECK(m->m_data == m->m_pktdat && M_TRAILINGSPACE(m) == MHLEN);
	MCLGET(m, M_NOWAIT);
	CHECK((m->m_flags & M_EXT) && m->m_ext.ext_size == MCLBYTES && m->m_data == m->m_ext.ext_buf);
	CHECK(m->m_ext.ext_type == EXT_CLUSTER);
	m_freem(m);
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	CHECK(m->m_flags == (M_PKTHDR | M_EXT) && m->m_data == m->m_ext.ext_buf);
	CHECK_INT(M_TRAILINGSPACE(m), MCLBYTES);
	CHECK_INT(m->m_ext.ext_size, MCLBYTES);
	m_freem(m);
	m = m_getjcl(M_NOWAIT, MT_DATA, 0, MJUM9BYTES);
	CHECK(m->m_flags == M_EXT && m->m_ext.ext_size == MJUM9BYTES && m->m_ext.ext_type == EXT_JUMBO9);
	m_freem(m);
	CHECK(m_getjcl(M_NOWAIT, MT_DATA, 0, 1000) == NULL && errno == EMSGSIZE);
	m = m_get2(3000, M_NOWAIT, MT_DATA, M_PKTHDR);
	CHECK(m->m_ext.ext_size == MJUMPAGESIZE);
	m_freem(m);
	CHECK(m_get2(5000, M_NOWAIT, MT_DATA, 0) == NULL);
	m = m_getm2(NULL, 10000, M_NOWAIT, MT_DATA, M_PKTHDR | M_EOR);
	for (off = 0, n = m; n != NULL; n = n->m_next)
		off += M_SIZE(n);
	CHECK(off >= 10000 && (m->m_flags & M_PKTHDR));
	CHECK(m_last(m)->m_flags & M_EOR);
	m_freem(m);
	m = m_getclr(M_NOWAIT, MT_DATA);
	for (off = 0; off < MLEN; off++)
		CHECK(m->m_dat[off] == 0);
	m_freem(m);

	/* Trimmed at either end. */
	m = by_hand("0123", "4567", "89");
	m_adj(m, 5);
	CHECK(is(m, "56789") && m->m_pkthdr.len == 5 && m->m_len == 0);
	m_adj(m, -3);
	CHECK(is(m, "56") && m->m_pkthdr.len == 2);
	m_adj(m, 100);
	CHECK(is(m, "") && m->m_pkthdr.len == 0);
	m_freem(m);

	/* Pulled up. */
	m = by_hand("0123", "4567", "89");
	n = m_pullup(m, 6);
	CHECK(n == m && m->m_len == 6 && is(m, "0123456789") && m->m_pkthdr.len == 10);
	n = m_copyup(m, 7, 16);
	CHECK(n->m_len == 7 && M_LEADINGSPACE(n) == 16 && is(n, "0123456789"));
	m = m_pulldown(n, 6, 3, &off);
	CHECK(m != NULL && memcmp(mtod(m, char *) + off, "678", 3) == 0 && is(n, "0123456789"));
	CHECK(m_pullup(n, 11) == NULL && errno == EINVAL);

	m = by_hand("0123", "4567", "89");
	CHECK(m_ensure_contig(&m, 6) == 1 && m->m_len >= 6 && is(m, "0123456789"));
	CHECK(m_ensure_contig(&m, 11) == 0 && errno == EINVAL && is(m, "0123456789"));
	m_freem(m);

	/* Split, and put together. */
	m = by_hand("0123", "4567", "89");
	m->m_pkthdr.rcvif = (struct ifnet *)buf;
	n = m_split(m, 6, M_NOWAIT);
	CHECK(is(m, "012345") && is(n, "6789") && m->m_pkthdr.len == 6 && n->m_pkthdr.len == 4);
	CHECK(n->m_pkthdr.rcvif == (struct ifnet *)buf && !M_WRITABLE(m->m_next));
	m_catpkt(m, n);
	CHECK(is(m, "0123456789") && m->m_pkthdr.len == 10);
	CHECK(m_split(m, 11, M_NOWAIT) == NULL && is(m, "0123456789"));
	m_cat(m, packet("ab"));
	CHECK(is(m, "0123456789ab") && m->m_pkthdr.len == 10);
	CHECK(m_fixhdr(m) == 12 && m->m_pkthdr.len == 12);
	CHECK(m_append(m, 3, "cde") == 1 && is(m, "0123456789abcde") && m->m_pkthdr.len == 15);
	CHECK(m_devpad(m, 20) == 0 && m->m_pkthdr.len == 20);
	m_adj(m, -5);
	M_PREPEND(m, 2, M_NOWAIT);
	memcpy(mtod(m, char *), "<<", 2);
	CHECK(is(m, "<<0123456789abcde") && m->m_pkthdr.len == 17);

	/* Copies share clusters, or do not. */
	n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
	CHECK(is(n, "<<0123456789abcde") && n->m_pkthdr.len == 17 && (n->m_flags & M_PKTHDR));
	o = m_copym(m, 5, 4, M_NOWAIT);
	CHECK(is(o, "3456") && !(o->m_flags & M_PKTHDR));
	m_freem(o);
	CHECK(m_copym(m, 17, M_COPYALL, M_NOWAIT) == NULL);
	CHECK(m_copym(m, 0, 18, M_NOWAIT) == NULL && errno == EINVAL);
	m_copyback(n, 4, 6, "------");
	CHECK(is(n, "<<01------89abcde") && is(m, "<<0123456789abcde"));
	m_freem(n);
	n = m_copypacket(m, M_NOWAIT);
	CHECK(is(n, "<<0123456789abcde"));
	n = m_unshare(n, M_NOWAIT);
	for (o = n; o != NULL; o = o->m_next)
		CHECK(M_WRITABLE(o));
	m_freem(n);
	n = m_dup(m, M_NOWAIT);
	CHECK(is(n, "<<0123456789abcde") && n->m_next == NULL && n->m_pkthdr.rcvif == (struct ifnet *)buf);
	m_freem(n);
	m = m_defrag(m, M_NOWAIT);
	CHECK(is(m, "<<0123456789abcde") && m->m_next == NULL);
	m = m_fragment(m, M_NOWAIT, 4);
	CHECK(is(m, "<<0123456789abcde") && m->m_len == 4 && m->m_next->m_len == 4);
	m = m_collapse(m, M_NOWAIT, 2);
	CHECK(m != NULL && is(m, "<<0123456789abcde"));
	for (off = 0, n = m; n != NULL; n = n->m_next)
		off++;
	CHECK(off <= 2);

	/* Looked at. */
	n = m_getptr(m, 17, &off);
	CHECK(n == m_last(m) && off == n->m_len);
	CHECK(m_getptr(m, 18, &off) == NULL);
	sum = 0;
	CHECK(m_apply(m, 2, 10, count, &sum) == 0 && sum == 10);
	CHECK(m_sanity(m, 0) == 1);
	m_demote(m, 1, 0);
	CHECK(!(m->m_flags & M_PKTHDR) && is(m, "<<0123456789abcde"));
	m_freem(m);
	m = packet("\001\002\003");
	CHECK_INT(in_cksum(m, 3), (uint16_t)~(0x0201 + 0x0003));

	/* Headers. */
	n = m_gethdr(M_NOWAIT, MT_DATA);
	m->m_pkthdr.csum_data = 7;
	CHECK(m_dup_pkthdr(n, m, M_NOWAIT) == 1 && n->m_pkthdr.csum_data == 7 && n->m_pkthdr.len == 3);
	M_MOVE_PKTHDR(n, m);
	CHECK((n->m_flags & M_PKTHDR) && !(m->m_flags & M_PKTHDR));
	m_freem(m);
	m_freem(n);

	/* Memory of ours, attached by function and by hand. */
	off = 1;
	m = m_gethdr(M_NOWAIT, MT_DATA);
	MEXTADD(m, buf, sizeof(buf), release, &off, NULL, 0, EXT_NET_DRV);
	CHECK(m->m_data == buf && m->m_ext.ext_buf == buf && m->m_ext.ext_arg1 == &off && m->m_ext.ext_type == EXT_NET_DRV);
	m->m_len = m->m_pkthdr.len = 10;
	n = m_copypacket(m, M_NOWAIT);
	CHECK(n->m_data == buf && !M_WRITABLE(m));
	m_freem(m);
	CHECK_INT(released, 0);
	m_freem(n);
	CHECK_INT(released, 1);
	m = m_get(M_NOWAIT, MT_DATA);
	m->m_ext.ext_buf = buf;
	m->m_ext.ext_size = sizeof(buf);
	m->m_ext.ext_type = EXT_NET_DRV;
	m->m_ext.ext_flags = 0;
	m->m_ext.ext_free = release;
	m->m_ext.ext_arg1 = &off;
	m->m_ext.ext_arg2 = NULL;
	m->m_data = buf + 4;
	m->m_len = 20;
	m->m_flags |= M_EXT;
	n = m_copym(m, 0, M_COPYALL, M_NOWAIT);
	CHECK(n->m_data == buf + 4);
	m_freem(m);
	m_freem(n);
	CHECK_INT(released, 2);
	return 0;
}
