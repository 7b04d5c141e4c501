/*
 * Chains with any field wrong: every function says so, and touches nothing. With an argument, the fault of that number
 * is made without leave to go on.
 */
#define _POSIX_C_SOURCE 200809L
#include <mbuf.h>
#include <errno.h>
#include "check.h"

static char scratch[64];

/* Inlined, it does not look at bytes that it does not touch. */
static void (*volatile call_adj)(struct mbuf *, int) = m_adj;

static struct mbuf *chain(void)
{
	struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
	m->m_next = m_getcl(M_NOWAIT, MT_DATA, 0);
	m->m_next->m_next = m_get(M_NOWAIT, MT_DATA);
	m->m_len = m->m_next->m_len = m->m_next->m_next->m_len = 20;
	m->m_pkthdr.len = 60;
	return m;
}

static int seen;
static int never(void *arg, void *data, unsigned int len)
{
	(void)arg, (void)data, (void)len;
	seen++;
	return 0;
}

static int frees;
static void count_free(struct mbuf *m)
{
	frees += m->m_ext.ext_buf == scratch;
}

/* What C functions do with a chain that is wrong: they fail, and leave it to us. */
static void all_refuse(struct mbuf *m, struct mbuf *other)
{
	int off = -7, i;
	struct mbuf *p = m;
	struct mbuf *(*makes[])(struct mbuf *, int) = { m_copypacket, m_defrag, m_defrag_nofree };
	for (i = 0; i < 3; i++) {
		errno = 0;
		CHECK(makes[i](m, M_NOWAIT) == NULL && errno == EFAULT);
	}
#define REFUSES(call)                  \
	do {                           \
		errno = 0;             \
		(void)(call);          \
		CHECK_INT(errno, EFAULT); \
	} while (0)
	REFUSES(m_dup(m, M_NOWAIT));
	REFUSES(m_copym(m, 0, M_COPYALL, M_NOWAIT));
	REFUSES(m_copydata(m, 0, 60, scratch));
	REFUSES(m_copyback(m, 18, 6, scratch));
	REFUSES(m_copyback2(m, 18, 6, scratch, M_NOWAIT));
	REFUSES(call_adj(m, 30));
	REFUSES(m_adj(m, -10));
	REFUSES(m_cat(m, other));
	REFUSES(m_cat(other, m));
	REFUSES(m_catpkt(m, other));
	REFUSES(m_append(m, 3, "abc"));
	REFUSES(m_devpad(m, 100));
	REFUSES(m_prepend(m, 4, M_NOWAIT));
	REFUSES(m_pullup(m, 50));
	REFUSES(m_copyup(m, 30, 8));
	REFUSES(m_pulldown(m, 30, 8, &off));
	REFUSES(m_split(m, 30, M_NOWAIT));
	REFUSES(m_collapse(m, M_NOWAIT, 1));
	REFUSES(m_unshare(m, M_NOWAIT));
	REFUSES(m_makewritable(&p, 0, 10, M_NOWAIT));
	REFUSES(m_fragment(m, M_NOWAIT, 10));
	REFUSES(m_length(m, NULL));
	REFUSES(m_last(m));
	REFUSES(m_fixhdr(m));
	REFUSES(m_demote(m, 1, 0));
	REFUSES(m_clrprotoflags(m));
	REFUSES(m_getptr(m, 50, &off));
	REFUSES(m_apply(m, 0, 50, never, NULL));
	REFUSES(in_cksum(m, 60));
	CHECK(m_sanity(m, 0) == 0 && m_sanity(m, 1) == 0);
	REFUSES(m_print(m, -1));
	CHECK(off == -7 && seen == 0 && p == m);
	m_freem(other);
}

static void fault(int number)
{
	struct mbuf *other = m_gethdr(M_NOWAIT, MT_DATA), *m = chain(), *n = m->m_next, *o = n->m_next, kept;
	static struct mbuf stranger;
	memcpy(&kept, n, sizeof(kept));
	switch (number) {
	case 0: n->m_len = -1; break;
	case 1: n->m_len = MCLBYTES + 1; break;
	case 2: n->m_len = INT_MAX; break;
	case 3: n->m_data -= 1; break;
	case 4: n->m_data += MCLBYTES; break;
	case 5: n->m_data = NULL; break;
	case 6: n->m_data = scratch; break;
	case 7: n->m_next = m; break;
	case 8: n->m_next = n; break;
	case 9: n->m_next = &stranger; break;
	case 10: n->m_next = (struct mbuf *)(void *)((char *)o + 8); break;
	case 11: n->m_flags &= ~(unsigned)M_EXT; break;
	case 12: o->m_len = MLEN + 1; break;
	case 13: o->m_data = m->m_data; break;
	case 14: o->m_next = n; break;
	case 15: m->m_len = MHLEN + 1; break;
	case 16: m->m_data = m->m_dat; break;
	case 17: m_free(o); break;
	case 18:
		o->m_ext.ext_buf = NULL;
		o->m_flags |= M_EXT;
		break;
	case 19:
		o->m_ext.ext_buf = scratch;
		o->m_ext.ext_size = sizeof(scratch);
		o->m_data = scratch + 50;
		o->m_flags |= M_EXT;
		break;
	default: exit(2);
	}
	all_refuse(m, other);
	/* Nothing was freed or moved: put right, all of it is there. */
	n->m_len = 20;
	n->m_data = kept.m_data;
	n->m_next = number == 17 ? NULL : o;
	n->m_flags |= M_EXT;
	m->m_len = 20;
	m->m_data = m->m_pktdat;
	if (number != 17) {
		o->m_len = 20;
		o->m_flags &= ~(unsigned)M_EXT;
		o->m_data = o->m_dat;
		o->m_next = NULL;
	}
	m_fixhdr(m);
	CHECK(m_sanity(m, 0) == 1);
	CHECK_INT(m->m_pkthdr.len, number == 17 ? 40 : 60);
	m_freem(m);
}

int main(int argc, char **argv)
{
	int i;
	struct mbuf *m;
	if (argc > 1) {
		if (atoi(argv[1]) == 100) {
			m = m_get(M_NOWAIT, MT_DATA);
			m_free(m);
			m_free(m);
			return 0;
		}
		if (atoi(argv[1]) == 101) {
			m = m_get(M_NOWAIT, MT_DATA);
			m_cat(m, m);
			return 0;
		}
		if (atoi(argv[1]) == 102) {
			m = m_get(M_NOWAIT, MT_DATA);
			m_copydata(m, 0, 1, scratch);
			return 0;
		}
		fault(atoi(argv[1]));
		return 0;
	}
	setenv("MBUF_ON_ERROR", "error", 1);
	for (i = 0; i < 20; i++)
		fault(i);
	/* Freed twice, at once and when others were freed since. */
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	m_freem(m);
	errno = 0;
	m_freem(m);
	CHECK_INT(errno, EFAULT);
	/* What is no memory, or no place for it, is not attached. */
	m = m_get(M_NOWAIT, MT_DATA);
	errno = 0;
	m_extadd(m, NULL, sizeof(scratch), NULL, NULL, NULL, 0, EXT_NET_DRV);
	CHECK(errno == EFAULT && (m->m_flags & M_EXT) == 0 && m->m_data == m->m_dat);
	errno = 0;
	m_extadd(m, scratch, 1u + INT_MAX, NULL, NULL, NULL, 0, EXT_NET_DRV);
	CHECK(errno == EFAULT && (m->m_flags & M_EXT) == 0);
	m_extadd(m, scratch, sizeof(scratch), NULL, NULL, NULL, 0, EXT_NET_DRV);
	CHECK(m->m_data == scratch);
	errno = 0;
	m_extadd(m, scratch, 1, NULL, NULL, NULL, 0, EXT_NET_DRV);
	CHECK(errno == EFAULT && m->m_ext.ext_size == sizeof(scratch));
	m_freem(m);
	/* Who frees storage that was attached by hand need not have put the window there yet. */
	m = m_get(M_NOWAIT, MT_DATA);
	m->m_ext.ext_buf = scratch;
	m->m_ext.ext_size = sizeof(scratch);
	m->m_ext.ext_free = count_free;
	m->m_flags |= M_EXT;
	errno = 0;
	m_freem(m);
	CHECK(errno == 0 && frees == 1);
	/* A pool's buffer is shared by functions that count, not by a copy of m_ext. */
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	{
		struct mbuf *n = m_get(M_NOWAIT, MT_DATA);

		n->m_ext = m->m_ext;
		n->m_data = m->m_data;
		n->m_flags |= M_EXT;
		errno = 0;
		m_freem(n);
		CHECK_INT(errno, EFAULT);
		CHECK(m_copypacket(n, M_NOWAIT) == NULL);
		n->m_flags &= ~(unsigned)M_EXT;
		n->m_data = n->m_dat;
		m_freem(n);
	}
	m_freem(m);
	/* Flags assigned as a whole take nothing that the library needs. */
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	m->m_flags = M_EXT | M_PKTHDR;
	m_freem(m);
	m = m_get(M_NOWAIT, MT_DATA);
	m->m_flags = 0;
	m_free(m);
	/* A header made by hand is what was written there, and has no tags. */
	m = m_get(M_NOWAIT, MT_DATA);
	memset(m->m_dat, 0x55, MLEN);
	m->m_flags |= M_PKTHDR;
	m->m_data = m->m_pktdat;
	m->m_len = 3;
	m->m_pkthdr.len = 3;
	m->m_pkthdr.csum_data = 9;
	{
		struct mbuf *n = m_copypacket(m, M_NOWAIT);
		CHECK(n != NULL && n->m_pkthdr.csum_data == 9 && n->m_len == 3);
		m_freem(n);
	}
	m_freem(m);
	m = m_get(M_NOWAIT, MT_DATA);
	memset(m->m_dat, 0x55, MLEN);
	m->m_flags |= M_PKTHDR;
	m_freem(m);
	return 0;
}
