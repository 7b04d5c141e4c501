/*
 * m_copym, m_copypacket, m_free and m_freem have a short way for what is so most often. Whatever an mbuf is, they do what they do
 * without it: each call is made twice, once while all that is allocated is recorded, which shuts the short ways. (That they are taken
 * when they are open, bench/guard.sh knows, which counts instructions.)
 */
#define _POSIX_C_SOURCE 200809L
#include <mbuf.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include "check.h"

static char lent[512];
static int released;

static void release(struct mbuf *m)
{
	(void)m;
	released++;
}

/* The short ways open, or shut: for what has a record there is none. They find what is in caches, so something has to be there. */
static void open_short_ways(int open)
{
	struct mbuf *m[8];
	int i;

	CHECK(mbuf_sysctl_set("kern.ipc.mbuf.audit", open ? "0" : "1") == 0);
	for (i = 0; open && i < 8; i++)
		CHECK((m[i] = i < 4 ? m_get(M_NOWAIT, MT_DATA) : m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)) != NULL);
	for (i = 0; open && i < 8; i++)
		m_freem(m[i]);
}

static long tags_in_use(void)
{
	uint64_t number;

	CHECK_INT(mbuf_sysctl_number("kern.ipc.mbuf.tags.current", &number), 0);
	return (long)number;
}

static long in_use(const char *what)
{
	char name[64];
	uint64_t number;

	snprintf(name, sizeof(name), "kern.ipc.mbstat.m_%s", what);
	CHECK_INT(mbuf_sysctl_number(name, &number), 0);
	return (long)number;
}

enum {
	CLUSTER, BARE_CLUSTER, ATTACHED, PAGE, JUMBO, HEADER, PLAIN, DESCRIBED, TAGGED, TYPED, RETYPED, READ_ONLY, RECORD, BROADCAST, NUMBERED,
	LENT, BY_HAND, CHAIN, QUEUED, SHARED, WAS_SHARED, TWICE_SHARED, ONLY_SHARE, LIAR, HEADER_BY_HAND, HEADER_GONE, EXT_CLEARED, EMPTY,
	SHORT_WINDOW, BEFORE, BEHIND, TOO_LONG, KINDS
};

static struct mbuf *others; /* what was made beside it */

static void keep(struct mbuf *m)
{
	CHECK(m != NULL);
	m->m_nextpkt = others;
	others = m;
}

static struct mbuf *make(int kind)
{
	struct m_tag *tag;
	struct mbuf *m;

	others = NULL;
	switch (kind) {
	case BARE_CLUSTER:
		m = m_getcl(M_NOWAIT, MT_DATA, 0);
		break;
	case PAGE:
		m = m_getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, MJUMPAGESIZE);
		break;
	case JUMBO:
		m = m_getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, MJUM9BYTES);
		break;
	case PLAIN:
	case HEADER_BY_HAND:
		m = m_get(M_NOWAIT, MT_DATA);
		break;
	case HEADER:
	case ATTACHED:
	case LENT:
	case BY_HAND:
		m = m_gethdr(M_NOWAIT, MT_DATA);
		break;
	case TYPED:
		m = m_getcl(M_NOWAIT, MT_CONTROL, M_PKTHDR);
		break;
	default:
		m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	}
	CHECK(m != NULL);
	if (kind == ATTACHED) {
		m_clget(m, M_NOWAIT);
		CHECK(m->m_flags & M_EXT);
	}
	if (kind == LENT)
		m_extadd(m, lent, sizeof(lent), release, NULL, NULL, 0, EXT_NET_DRV);
	if (kind == BY_HAND) {
		m->m_ext.ext_buf = lent;
		m->m_ext.ext_size = sizeof(lent);
		m->m_ext.ext_type = EXT_NET_DRV;
		m->m_ext.ext_free = release;
		m->m_flags |= M_EXT;
		m->m_data = lent;
	}
	m->m_data += 16;
	m->m_len = 50;
	memset(m->m_data, 'a' + kind % 26, 50);
	if (m->m_flags & M_PKTHDR)
		m->m_pkthdr.len = 50;
	switch (kind) {
	case DESCRIBED:
		m->m_pkthdr.flowid = 77;
		m->m_pkthdr.csum_flags = CSUM_IP;
		m->m_pkthdr.ether_vtag = 12;
		m->m_pkthdr.rcvif = (struct ifnet *)lent;
		break;
	case TAGGED:
		CHECK((tag = m_tag_alloc(1, 2, 8, M_NOWAIT)) != NULL);
		m_tag_prepend(m, tag);
		break;
	case RETYPED:
		m->m_type = MT_CONTROL;
		break;
	case READ_ONLY:
		m->m_flags |= M_RDONLY;
		break;
	case RECORD:
		m->m_flags |= M_EOR;
		break;
	case BROADCAST:
		m->m_flags |= M_BCAST | M_PROTO1;
		break;
	case NUMBERED:
		m->m_flags |= M_EOR | M_PROTO2;
		m->m_flags &= ~(unsigned)M_PKTHDR;
		break;
	case CHAIN:
		CHECK((m->m_next = m_get(M_NOWAIT, MT_DATA)) != NULL);
		m->m_next->m_len = 20;
		memset(m->m_next->m_data, 'z', 20);
		m->m_pkthdr.len = 70;
		break;
	case QUEUED:
		keep(m_gethdr(M_NOWAIT, MT_DATA));
		m->m_nextpkt = others;
		break;
	case TWICE_SHARED:
		keep(m_copypacket(m, M_NOWAIT));
		/* FALLTHROUGH */
	case SHARED:
		keep(m_copypacket(m, M_NOWAIT));
		break;
	case WAS_SHARED:
		m_freem(m_copypacket(m, M_NOWAIT));
		break;
	case ONLY_SHARE: {
		struct mbuf *first = m;
		CHECK((m = m_copypacket(first, M_NOWAIT)) != NULL);
		m_freem(first);
		break;
	}
	case LIAR:
		m->m_pkthdr.len = 45;
		break;
	case HEADER_BY_HAND:
		m->m_flags |= M_PKTHDR;
		m->m_data = m->m_pktdat + 16;
		memset(&m->m_pkthdr, 0, sizeof(m->m_pkthdr));
		m->m_pkthdr.len = 50;
		break;
	case HEADER_GONE:
		m->m_flags &= ~(unsigned)M_PKTHDR;
		break;
	case EXT_CLEARED:
		m->m_flags &= ~(unsigned)M_EXT;
		break;
	case EMPTY:
		m->m_len = m->m_pkthdr.len = 0;
		break;
	case SHORT_WINDOW:
		m->m_len = 3;
		break;
	case BEFORE:
		m->m_data -= 17;
		break;
	case BEHIND:
		m->m_data += 1 << 20;
		break;
	case TOO_LONG:
		m->m_len = 1 << 20;
		break;
	default:
		break;
	}
	return m;
}

/* In order again, so that it can be freed. */
static void unmake(struct mbuf *m, int kind)
{
	struct mbuf *next;

	m->m_nextpkt = NULL;
	if (kind == EXT_CLEARED)
		m->m_flags |= M_EXT;
	m_freem(m);
	for (; others != NULL; others = next) {
		next = others->m_nextpkt;
		others->m_nextpkt = NULL;
		m_freem(others);
	}
}

/* What can be told of an mbuf and all behind it without addresses. */
struct told {
	long n[64];
	int many;
};

static void tell(struct told *told, const struct mbuf *m)
{
	int i;

	told->many = 0;
#define TELL(x) (told->n[told->many++] = (long)(x))
	TELL(m == NULL ? errno : 0);
	for (i = 0; m != NULL && i < 2; i++, m = m->m_next) {
		TELL(m->m_len);
		TELL(m->m_type);
		TELL(m->m_flags);
		TELL(m->m_next != NULL);
		TELL(m->m_nextpkt != NULL);
		TELL(m->m_priv_cap);
		TELL(m->m_data - m->m_priv_buf);
		TELL(m_sharecount((struct mbuf *)(uintptr_t)m));
		TELL(M_WRITABLE(m));
		TELL(m->m_len > 0 ? m->m_data[0] : 0);
		if (m->m_flags & M_EXT) {
			TELL(m->m_ext.ext_buf == m->m_priv_buf);
			TELL(m->m_ext.ext_size);
			TELL(m->m_ext.ext_type);
			TELL((uintptr_t)m->m_ext.ext_free);
		}
		if (m->m_flags & M_PKTHDR) {
			TELL(m->m_pkthdr.len);
			TELL(m->m_pkthdr.flowid);
			TELL(m->m_pkthdr.csum_flags);
			TELL(m->m_pkthdr.ether_vtag);
			TELL((uintptr_t)m->m_pkthdr.rcvif);
			TELL(m_tag_first((struct mbuf *)(uintptr_t)m) != NULL);
		}
	}
	CHECK(told->many < 64);
}

static void alike(const struct told *a, const struct told *b, int kind, int off, int len)
{
	int i;

	for (i = 0; i < a->many || i < b->many; i++)
		if (a->many != b->many || a->n[i] != b->n[i]) {
			fprintf(stderr, "kind %d, %d bytes from %d: number %d of %d is %ld by the short way, of %d %ld without it\n", kind, len, off, i,
			    a->many, a->n[i], b->many, b->n[i]);
			exit(1);
		}
}

static const int offsets[] = { 0, 1, 10, 49, 50, 51, 70, -1, -0x7fffffff };
static const int lengths[] = { M_COPYALL, 0, 1, 40, 49, 50, 51, 70, -1, 0x7fffffff };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A copy, and what becomes of both, by one way. */
static void copied(int kind, int off, int len, int whole, int keep_first, struct told told[3])
{
	struct mbuf *m = make(kind), *copy;

	errno = 0;
	copy = whole ? m_copypacket(m, M_NOWAIT) : m_copym(m, off, len, M_NOWAIT);
	tell(&told[0], copy);
	if (kind != BEFORE && kind != BEHIND && kind != TOO_LONG)
		tell(&told[1], m);
	if (keep_first) {
		m_freem(copy);
		if (kind < EXT_CLEARED)
			tell(&told[2], m);
		unmake(m, kind);
	} else {
		unmake(m, kind);
		tell(&told[2], copy);
		m_freem(copy);
	}
}

static void copies(void)
{
	struct told quick[3], slow[3];
	int kind, i, j, keep_first, whole;

	for (kind = 0; kind < KINDS; kind++)
		for (i = 0; i < (int)COUNT(offsets); i++)
			for (j = 0; j < (int)COUNT(lengths); j++)
				for (keep_first = 0; keep_first < 2; keep_first++) {
					whole = i == 0 && j == 1;
					memset(quick, 0, sizeof(quick));
					memset(slow, 0, sizeof(slow));
					open_short_ways(1);
					copied(kind, offsets[i], lengths[j], whole, keep_first, quick);
					open_short_ways(0);
					copied(kind, offsets[i], lengths[j], whole, keep_first, slow);
					alike(&quick[0], &slow[0], kind, offsets[i], lengths[j]);
					alike(&quick[1], &slow[1], kind, offsets[i], lengths[j]);
					alike(&quick[2], &slow[2], kind, offsets[i], lengths[j]);
				}
	open_short_ways(1);
}

/* What is freed by m_free, m_freem and twice, by one way. */
static void freed(int kind, int by_one, struct told *told)
{
	struct mbuf *m = make(kind), *next = NULL;

	released = 0;
	told->many = 0;
	if (kind == EXT_CLEARED)
		m->m_flags |= M_EXT;
	if (kind == QUEUED)
		m->m_nextpkt = NULL;
	if (by_one)
		next = m_free(m);
	else
		m_freem(m);
	TELL(next != NULL);
	TELL(next != NULL ? next->m_len : 0);
	TELL(others != NULL ? m_sharecount(others) : 0);
	/* It is found that it is free. */
	errno = 0;
	m_freem(m);
	TELL(errno);
	m_freem(next);
	for (; others != NULL; others = next) {
		next = others->m_nextpkt;
		others->m_nextpkt = NULL;
		m_freem(others);
	}
	TELL(in_use("mbufs"));
	TELL(in_use("clusters"));
	TELL(released);
}

static void frees(void)
{
	struct told quick, slow;
	int kind, by_one;

	for (kind = 0; kind < KINDS; kind++)
		for (by_one = 0; by_one < 2; by_one++) {
			open_short_ways(1);
			freed(kind, by_one, &quick);
			open_short_ways(0);
			freed(kind, by_one, &slow);
			alike(&quick, &slow, kind, by_one, 0);
		}
	open_short_ways(1);
}

/* More at a time than a thread's caches hold, so that they have to be filled and emptied in between. */
static void many(void)
{
	static struct mbuf *share[5000];
	struct mbuf *m = make(DESCRIBED);
	int i, round, count = (int)COUNT(share);

	for (round = 0; round < 3; round++) {
		for (i = 0; i < count; i++) {
			share[i] = round == 1 ? m_copypacket(m, M_NOWAIT) : m_copym(m, i % 40, 5, M_NOWAIT);
			CHECK(share[i] != NULL);
			CHECK_INT(m_sharecount(m), i + 2);
			CHECK_INT(share[i]->m_len, round == 1 ? 50 : 5);
			CHECK_INT(share[i]->m_data - m->m_data, round == 1 ? 0 : i % 40);
			CHECK_INT((share[i]->m_flags & M_PKTHDR) != 0, round == 1 || i % 40 == 0);
			if (share[i]->m_flags & M_PKTHDR)
				CHECK_INT(share[i]->m_pkthdr.flowid, 77);
		}
		CHECK_INT(in_use("mbufs"), count + 1);
		CHECK_INT(in_use("clusters"), 1);
		for (i = 0; i < count; i++)
			m_freem(share[i]);
		CHECK_INT(m_sharecount(m), 1);
		CHECK(M_WRITABLE(m));
		CHECK_INT(in_use("mbufs"), 1);
	}
	m_freem(m);
	CHECK_INT(in_use("mbufs"), 0);
	CHECK_INT(in_use("clusters"), 0);
}

/* Long chains are freed one by one, not one within the other. */
static void long_chains(void)
{
	struct mbuf *m = NULL, *n, *first = make(CLUSTER);
	int i;

	for (i = 0; i < 100000; i++) {
		n = i % 3 == 0 ? m_copym(first, 1, 10, M_NOWAIT) : i % 3 == 1 ? m_get(M_NOWAIT, MT_DATA) : m_getcl(M_NOWAIT, MT_DATA, 0);
		CHECK(n != NULL);
		n->m_next = m;
		m = n;
	}
	m_freem(m);
	CHECK_INT(m_sharecount(first), 1);
	m_freem(first);
	CHECK_INT(in_use("mbufs"), 0);
	CHECK_INT(in_use("clusters"), 0);
}

/* Samples of what is allocated are recorded while the short ways are open: of those nothing may be missed. */
static void sampled(void)
{
	static struct mbuf *m[5000];
	struct mbuf *share;
	char text[4096];
	int i, recorded = 0;

	CHECK(mbuf_sysctl_set("kern.ipc.mbuf.audit", "128") == 0);
	for (i = 0; i < (int)COUNT(m); i++) {
		CHECK((m[i] = i % 2 == 0 ? m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR) : m_get(M_NOWAIT, MT_DATA)) != NULL);
		recorded += m[i]->m_priv_track != 0;
	}
	CHECK(recorded > 0);
	for (i = 0; i < (int)COUNT(m); i += 2) {
		m[i]->m_len = m[i]->m_pkthdr.len = 100;
		CHECK((share = m_copypacket(m[i], M_NOWAIT)) != NULL);
		if (m[i]->m_priv_track != 0) {
			mbuf_audit(text, sizeof(text));
			CHECK(strstr(text, "shared") != NULL);
		}
		m_freem(share);
	}
	for (i = 0; i < (int)COUNT(m); i++)
		m_freem(m[i]);
	mbuf_audit(text, sizeof(text));
	CHECK(strstr(text, "in use: 0, 0 bytes") != NULL);
	open_short_ways(1);
}

/* Old code moves a header by an assignment: the tags are then those of an mbuf of which nobody noticed it. */
static void tags_by_hand(void)
{
	struct mbuf *m, *n;
	struct m_tag *tag;
	int by_one, share;

	for (by_one = 0; by_one < 2; by_one++)
		for (share = 0; share < 2; share++) {
			m = make(CLUSTER);
			n = make(share ? WAS_SHARED : CLUSTER);
			CHECK((tag = m_tag_alloc(1, 2, 8, M_NOWAIT)) != NULL);
			m_tag_prepend(m, tag);
			n->m_pkthdr = m->m_pkthdr;
			memset(&m->m_pkthdr, 0, sizeof(m->m_pkthdr));
			if (by_one)
				CHECK(m_free(n) == NULL);
			else
				m_freem(n);
			m_freem(m);
			CHECK_INT(tags_in_use(), 0);
		}
}

/* What no mbuf is. */
static void nothing(void)
{
	_Alignas(64) static char zeros[512], ones[512];
	char *place;
	int i;

	memset(ones, 0xff, sizeof(ones));
	for (i = 0; i < 3; i++) {
		place = i == 0 ? zeros : i == 1 ? ones : zeros + 4;
		errno = 0;
		CHECK(m_copym((struct mbuf *)(void *)place, 0, M_COPYALL, M_NOWAIT) == NULL && errno == EFAULT);
		errno = 0;
		CHECK(m_copypacket((struct mbuf *)(void *)place, M_NOWAIT) == NULL && errno == EFAULT);
		errno = 0;
		m_freem((struct mbuf *)(void *)place);
		CHECK_INT(errno, EFAULT);
	}
	CHECK(m_copym(NULL, 0, M_COPYALL, M_NOWAIT) == NULL);
}

int main(void)
{
	setenv("MBUF_ON_ERROR", "error", 1);
	/* The first uses fill this thread's caches. */
	m_freem(make(CLUSTER));
	m_freem(make(PLAIN));
	copies();
	frees();
	many();
	long_chains();
	sampled();
	tags_by_hand();
	nothing();
	CHECK_INT(in_use("mbufs"), 0);
	return 0;
}
