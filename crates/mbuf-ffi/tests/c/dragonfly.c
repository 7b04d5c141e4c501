/* DragonFly 2's mbuf(9) and what its drivers do by hand, from the first line to the last. */
#include <mbuf/dragonfly.h>
#include "dialect.h"

/* A driver's buffer, which is free when nobody refers to it. */
struct slot {
	int refs, taken, given;
	char bytes[4096];
};

static void slot_ref(void *arg)
{
	struct slot *slot = (struct slot *)arg;
	slot->refs++;
	slot->taken++;
}

static void slot_free(void *arg)
{
	struct slot *slot = (struct slot *)arg;
	CHECK(slot->refs > 0);
	slot->refs--;
	slot->given++;
}

static int fetched;

static void fetch(volatile const void *from, volatile void *to, size_t len)
{
	volatile const char *f = (volatile const char *)from;
	volatile char *t = (volatile char *)to;
	fetched += (int)len;
	while (len-- > 0)
		*t++ = *f++;
}

static struct mbuf *jumbo(struct slot *slot, int len)
{
	struct mbuf *m;
	MGETHDR(m, MB_DONTWAIT, MT_DATA);
	CHECK(m != NULL);
	slot->refs = 1;
	slot->taken = slot->given = 0;
	m->m_ext.ext_arg = slot;
	m->m_ext.ext_buf = slot->bytes;
	m->m_ext.ext_free = slot_free;
	m->m_ext.ext_ref = slot_ref;
	m->m_ext.ext_size = sizeof(slot->bytes);
	m->m_data = m->m_ext.ext_buf;
	m->m_flags |= M_EXT;
	m->m_len = m->m_pkthdr.len = len;
	m->m_pkthdr.rcvif = NULL;
	return m;
}

static void allocation(void)
{
	struct mbuf *m, *n;
	int i, room;

	MGET(m, MB_WAIT, MT_DATA);
	CHECK(m != NULL && m->m_flags == 0 && m->m_type == MT_DATA && m->m_data == m->m_dat);
	m_mclget(m, MB_DONTWAIT);
	CHECK((m->m_flags & M_EXT) && m->m_ext.ext_size == MCLBYTES && m_sharecount(m) == 1);
	m_chtype(m, MT_CONTROL);
	CHECK(m->m_type == MT_CONTROL);
	CHECK(m_free(m) == NULL);
	MGETHDR(m, MB_TRYWAIT, MT_DATA);
	CHECK(m->m_flags == M_PKTHDR && m->m_data == m->m_pktdat && m->m_pkthdr.rcvif == NULL && m->m_pkthdr.fw_flags == 0);
	CHECK(m->m_pkthdr.csum_flags == 0 && m->m_pkthdr.ether_vlantag == 0 && m_tag_first(m) == NULL);
	MCLGET(m, MB_DONTWAIT);
	CHECK(m->m_flags & M_EXT);
	m_freem(m);
	m = m_getclr(MB_WAIT, MT_SONAME);
	for (i = 0; i < MLEN; i++)
		CHECK(m->m_dat[i] == 0);
	m_freem(m);
	m = m_getcl(MBTOM(MB_DONTWAIT), MT_DATA, M_PKTHDR);
	CHECK((m->m_flags & M_EXT) && (m->m_flags & M_PKTHDR));
	m_freem(m);
	m_freem(NULL);

	/* Chains with room, without a header. */
	CHECK(m_getc(0, MB_DONTWAIT, MT_DATA) == NULL && m_getc(-1, MB_DONTWAIT, MT_DATA) == NULL);
	m = m_getc(5000, MB_DONTWAIT, MT_DATA);
	for (room = 0, n = m; n != NULL; n = n->m_next) {
		CHECK(n->m_len == 0 && !(n->m_flags & M_PKTHDR));
		room += (int)M_TRAILINGSPACE(n);
	}
	CHECK(room >= 5000);
	i = mbufs(m);
	n = m_last(m);
	CHECK(m_getm(m, 100, MT_DATA, MB_DONTWAIT) == m && mbufs(m) > i && n->m_next == m_last(m));
	dry(1);
	i = mbufs(m);
	CHECK(m_getm(m, 100, MT_DATA, MB_DONTWAIT) == NULL && mbufs(m) == i);
	CHECK(m_getm(NULL, 100, MT_DATA, MB_DONTWAIT) == NULL && m_getc(1, MB_DONTWAIT, MT_DATA) == NULL);
	CHECK(m_getl(10, MB_DONTWAIT, MT_DATA, 0, &room) == NULL && m_getcl(MB_DONTWAIT, MT_DATA, 0) == NULL);
	MGET(n, MB_DONTWAIT, MT_DATA);
	CHECK(n == NULL);
	MGETHDR(n, MB_DONTWAIT, MT_DATA);
	CHECK(n == NULL);
	dry(0);
	m_freem(m);
	m = m_getm(NULL, 100, MT_CONTROL, MB_WAIT);
	CHECK(m->m_type == MT_CONTROL && !(m->m_flags & M_PKTHDR));
	dry(1);
	m_mclget(m, MB_DONTWAIT);
	dry(0);
	CHECK(!(m->m_flags & M_EXT));
	m_freem(m);

	/* What fits, and how much more. */
	m = m_getl(MINCLSIZE, MB_DONTWAIT, MT_DATA, M_PKTHDR, &room);
	CHECK((m->m_flags & M_EXT) && room == MCLBYTES);
	m_freem(m);
	m = m_getl(MINCLSIZE - 1, MB_DONTWAIT, MT_DATA, M_PKTHDR, &room);
	CHECK(m->m_flags == M_PKTHDR && room == MHLEN);
	m_freem(m);
	m = m_getl(1, MB_DONTWAIT, MT_DATA, 0, &room);
	CHECK(m->m_flags == 0 && room == MLEN);
	m_freem(m);
	m = m_getb(3000, MB_DONTWAIT, MT_DATA, 0);
	CHECK(m->m_flags & M_EXT);
	mbuftrackid(m, 1);
	m_freem(m);
}

static void external(void)
{
	static struct slot slot;
	struct mbuf *m, *n, *o;

	/* The owner hears of every mbuf that joins and that lets go. */
	m = jumbo(&slot, 3000);
	CHECK(!M_WRITABLE(m) && M_LEADINGSPACE(m) == 0 && M_TRAILINGSPACE(m) == 0);
	CHECK(slot.refs == 1 && m->m_ext.ext_arg == &slot && m->m_ext.ext_free == slot_free && m->m_ext.ext_ref == slot_ref);
	n = m_copypacket(m, MB_DONTWAIT);
	CHECK(slot.refs == 2 && slot.taken == 1 && n->m_data == slot.bytes && (n->m_flags & M_EXT));
	o = m_copym(n, 100, 200, MB_DONTWAIT);
	CHECK(slot.refs == 3 && slot.taken == 2 && o->m_data == slot.bytes + 100);
	m_freem(m);
	CHECK(slot.refs == 2 && slot.given == 1);
	m = m_split(n, 1000, MB_DONTWAIT);
	CHECK(slot.refs == 3 && slot.taken == 3 && m->m_pkthdr.len == 2000 && m->m_data == slot.bytes + 1000);
	m_freem(n);
	m_freem(o);
	CHECK(slot.refs == 1 && slot.given == 3);
	m = m_unshare(m, MB_DONTWAIT);
	CHECK(m != NULL && slot.refs == 0 && slot.taken == 3 && slot.given == 4 && m_length(m, NULL) == 2000);
	m_freem(m);
	CHECK(slot.given == 4);

	/* Freed unseen, or copied. */
	m_freem(jumbo(&slot, 0));
	CHECK(slot.refs == 0 && slot.given == 1);
	m = jumbo(&slot, 3000);
	n = m_dup(m, MB_DONTWAIT);
	CHECK(slot.refs == 1 && slot.taken == 0 && n->m_pkthdr.len == 3000);
	m_freem(n);
	m = m_defrag(m, MB_DONTWAIT);
	CHECK(m != NULL);
	m_freem(m);
	CHECK(slot.refs == 0 && slot.given == 1);

	/* Who fails has not taken a reference, or has given it back. */
	m = jumbo(&slot, 3000);
	CHECK(m_length(m, NULL) == 3000);
	m->m_next = m_get(MB_DONTWAIT, MT_DATA);
	m->m_next->m_len = 10;
	memset(m->m_next->m_data, 0, 10);
	m->m_pkthdr.len += 10;
	CHECK(mbuf_sysctl_set("kern.ipc.mbuf.fault", "after:1") == 0);
	n = m_copypacket(m, MB_DONTWAIT);
	dry(0);
	CHECK(n == NULL && slot.refs == 1 && slot.taken == slot.given);
	m_freem(m);
	CHECK_INT(slot.refs, 0);

	/* Attached again. */
	m = jumbo(&slot, 50);
	m->m_data += 10;
	m = m_pullup(m, 20);
	CHECK(m != NULL && m->m_len >= 20);
	m_freem(m);
	CHECK_INT(slot.refs, 0);
}

static void devices(void)
{
	static char from[5000], got[5000];
	struct mbuf *m;
	int i;

	for (i = 0; i < (int)sizeof(from); i++)
		from[i] = (char)(i % 251);
	m = m_devget(from, sizeof(from), 2, (struct ifnet *)from, fetch);
	CHECK(m->m_pkthdr.len == sizeof(from) && m->m_pkthdr.rcvif == (struct ifnet *)from);
	CHECK_INT(fetched, sizeof(from));
	m_copydata(m, 0, sizeof(got), got);
	CHECK(memcmp(from, got, sizeof(got)) == 0);
	m_freem(m);
	m = m_devget(from, 60, 0, NULL, NULL);
	CHECK(M_LEADINGSPACE(m) >= 16 && m->m_len == 60 && fetched == sizeof(from));
	CHECK(m_devpad(m, 64) == 0 && m->m_pkthdr.len == 64 && m_devpad(m, 10) == 0 && m->m_pkthdr.len == 64);
	m_copydata(m, 60, 4, got);
	CHECK(got[0] == 0 && got[1] == 0 && got[2] == 0 && got[3] == 0);
	m_freem(m);
	CHECK(m_devget(from, 0, 0, NULL, NULL) == NULL);
	dry(1);
	CHECK(m_devget(from, 10, 0, NULL, NULL) == NULL);
	dry(0);
}

static void packets(void)
{
	char text[64];
	struct iovec iov[2];
	struct uio uio;
	struct mbuf *m, *n, *o;
	u_int len, charge;
	int off;

	m = digits();
	m->m_flags |= M_BCAST | M_FRAG | M_NOTIFICATION;
	m->m_pkthdr.fw_flags = 5;
	m->m_pkthdr.ether_vlantag = 12;
	m->m_pkthdr.csum_flags = CSUM_DELAY_IP | CSUM_TCP;
	m_tag_prepend(m, m_tag_get(3, 4, MB_DONTWAIT));
	memcpy(m_tag_data(m_tag_find(m, 3, NULL)), "tag", 4);
	n = m_copym(m, 0, M_COPYALL, MB_WAIT);
	CHECK(holds(n, "0123456789") && n->m_pkthdr.len == 10 && n->m_pkthdr.fw_flags == 5 && n->m_pkthdr.ether_vlantag == 12);
	CHECK((n->m_flags & (M_BCAST | M_FRAG | M_NOTIFICATION)) == (M_BCAST | M_FRAG | M_NOTIFICATION));
	CHECK(m_tag_find(n, 3, NULL) != m_tag_find(m, 3, NULL) && m_sharecount(n->m_next) == 2);
	CHECK(strcmp((char *)m_tag_data(m_tag_find(n, 3, NULL)), "tag") == 0);
	m_freem(n);
	n = m_copym((const struct mbuf *)m, 3, 4, MB_DONTWAIT);
	CHECK(holds(n, "3456"));
	m_freem(n);
	n = m_copypacket(m, MB_DONTWAIT);
	CHECK(holds(n, "0123456789"));
	m_freem(n);
	n = m_defrag_nofree(m, MB_DONTWAIT);
	CHECK(n != m && mbufs(n) == 1 && holds(n, "0123456789") && holds(m, "0123456789"));
	dry(1);
	CHECK(m_defrag_nofree(m, MB_DONTWAIT) == NULL && m_defrag(m, MB_DONTWAIT) == NULL && holds(m, "0123456789"));
	CHECK(m_dup(m, MB_DONTWAIT) == NULL && m_copypacket(m, MB_DONTWAIT) == NULL);
	dry(0);
	CHECK(m_dup_pkthdr(n, m, MB_DONTWAIT) == 1 && n->m_pkthdr.fw_flags == 5);
	m_freem(n);
	MGETHDR(n, MB_DONTWAIT, MT_DATA);
	m_move_pkthdr(n, m);
	CHECK(n->m_pkthdr.len == 10 && n->m_pkthdr.fw_flags == 5 && m_tag_find(n, 3, NULL) != NULL && (n->m_flags & M_BCAST));
	CHECK(n->m_data == n->m_pktdat);
	m_freem(n);
	m_freem(m);

	m = digits();
	CHECK(m_lengthm(m, &n) == 10 && n == m_last(m));
	len = m_countm(m, &o, &charge);
	CHECK(len == 10 && o == n && charge == 3 * MSIZE + MCLBYTES);
	n = m_split(m, 3, MB_DONTWAIT);
	CHECK(holds(m, "012") && holds(n, "3456789"));
	dry(1);
	CHECK(m_split(n, 3, MB_DONTWAIT) == NULL && n->m_pkthdr.len == 7);
	dry(0);
	m_cat(m, n);
	CHECK(holds(m, "0123456789") && m->m_pkthdr.len == 3);
	m->m_pkthdr.len = 10;
	M_PREPEND(m, 14, MB_DONTWAIT);
	CHECK(m != NULL && m->m_pkthdr.len == 24);
	m_adj(m, 14);
	m_adj(m, -1);
	CHECK(holds(m, "012345678") && m->m_pkthdr.len == 9);
	n = m_pulldown(m, 4, 5, &off);
	CHECK(n != NULL && memcmp(mtod(n, char *) + off, "45678", 5) == 0);
	m = m_pullup(m, 6);
	CHECK(m != NULL && m->m_len >= 6);
	m_copyback(m, 7, 4, (caddr_t)"wxyz");
	CHECK(holds(m, "0123456wxyz"));
	m_copydata(m, 6, 3, (caddr_t)text);
	CHECK(memcmp(text, "6wx", 3) == 0);
	CHECK(m_pullup(m, 12) == NULL && in_use() == 0);
	m = digits();
	dry(1);
	M_PREPEND(m, 2, MB_DONTWAIT);
	CHECK(m == NULL);
	dry(0);
	m = m_prepend(digits(), 20, MB_DONTWAIT);
	CHECK(m != NULL && m->m_len == 20);
	m_freem(m);
	MGET(m, MB_DONTWAIT, MT_DATA);
	M_ALIGN(m, 16);
	CHECK_INT(M_LEADINGSPACE(m), MLEN - 16);
	m_freem(m);
	MGETHDR(m, MB_DONTWAIT, MT_DATA);
	MH_ALIGN(m, 16);
	CHECK_INT(M_LEADINGSPACE(m), MHLEN - 16);
	m_freem(m);

	memset(&uio, 0, sizeof(uio));
	memcpy(text, "hello, world", 12);
	iov[0].iov_base = text;
	iov[0].iov_len = 5;
	iov[1].iov_base = text + 5;
	iov[1].iov_len = 7;
	uio.uio_iov = iov;
	uio.uio_iovcnt = 2;
	uio.uio_resid = 12;
	uio.uio_segflg = UIO_SYSSPACE;
	uio.uio_rw = UIO_WRITE;
	m = m_uiomove(&uio);
	CHECK(m != NULL && holds(m, "hello, world") && m->m_pkthdr.len == 12 && uio.uio_resid == 0);
	m_freem(m);
}

static void statistics(void)
{
	struct mbuf_chain chain;
	struct mbstat stat;
	chain.mc_head = digits();
	chain.mc_tail = m_last(chain.mc_head);
	m_print(chain.mc_head);
	mbuf_stat(&stat);
	CHECK(stat.m_mbufs == 3 && stat.m_clusters >= 1 && stat.m_msize == MSIZE && stat.m_mclbytes == MCLBYTES);
	CHECK(stat.m_minclsize == MINCLSIZE && stat.m_mlen == MLEN && stat.m_mhlen == MHLEN && stat.m_mcfail > 0);
	m_freem(chain.mc_head);
}

static void names(void)
{
	static const uint32_t flags[] = { M_PROTO1, M_PROTO2, M_PROTO3, M_PROTO4, M_PROTO5, M_BCAST, M_MCAST, M_FRAG, M_FIRSTFRAG,
		M_LASTFRAG, M_NOTIFICATION, M_VLANTAG, M_MPLSLABELED, M_HASH };
	static const int types[] = { MT_DATA, MT_HEADER, MT_SONAME, MT_CONTROL, MT_OOBDATA };
	flags_are_bits(flags, COUNT(flags));
	types_are_kept(types, COUNT(types));
}

/* What came after 2. */
static void later(void)
{
	static char from[100];
	struct mbuf *m = m_devget(from, sizeof(from), 0, (struct ifnet *)from), *n;

	CHECK(m != NULL && m->m_pkthdr.len == sizeof(from) && m->m_pkthdr.rcvif == (struct ifnet *)from);
	m_sethash(m, 4711);
	CHECK((m->m_flags & M_HASH) && m->m_pkthdr.hash == 4711);
	m_freem(m);
	m = digits();
	n = m_dup_data(m, MB_DONTWAIT);
	CHECK(holds(n, "0123456789") && !(n->m_flags & M_PKTHDR) && (m->m_flags & M_PKTHDR));
	m_freem(n);
	n = m_dup_data(m->m_next, MB_DONTWAIT);
	CHECK(holds(n, "456789") && !(n->m_flags & M_PKTHDR));
	m_freem(n);
	dry(1);
	CHECK(m_dup_data(m, MB_DONTWAIT) == NULL);
	dry(0);
	m_freem(m);
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
