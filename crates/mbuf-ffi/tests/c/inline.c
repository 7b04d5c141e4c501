/*
 * What the header does by itself is what the library does: on pairs of mbufs that are alike, on one by the header, on the other
 * by a call. But a call looks at more: compare() says at what.
 */
#define _POSIX_C_SOURCE 200809L
#include <mbuf.h>
#include <errno.h>
#include <string.h>
#include "check.h"

static char lent[512];

static void never(struct mbuf *m)
{
	(void)m;
}

enum { PLAIN, HEADER, CLUSTER, BARE_CLUSTER, JUMBO, LENT, SHARED, READ_ONLY, RECORD, TYPED, BY_HAND, TAKEN_AWAY, CHAIN, BROKEN, EXT_CLEARED, EXT_SET, LIAR, KINDS };

static struct mbuf *other; /* who shares with the last one made */

static struct mbuf *make(int kind)
{
	struct mbuf *m;

	other = NULL;
	switch (kind) {
	case PLAIN:
	case BY_HAND:
		m = m_get(M_NOWAIT, MT_DATA);
		break;
	case HEADER:
	case CHAIN:
	case EXT_SET:
	case BROKEN:
	case TAKEN_AWAY:
		m = m_gethdr(M_NOWAIT, MT_DATA);
		break;
	case BARE_CLUSTER:
		m = m_getcl(M_NOWAIT, MT_DATA, 0);
		break;
	case JUMBO:
		m = m_getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, MJUM9BYTES);
		break;
	case TYPED:
		m = m_getcl(M_NOWAIT, MT_CONTROL, M_PKTHDR);
		break;
	case LENT:
		m = m_gethdr(M_NOWAIT, MT_DATA);
		m_extadd(m, lent, sizeof(lent), never, NULL, NULL, 0, EXT_NET_DRV);
		CHECK(m->m_flags & M_EXT);
		break;
	default:
		m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	}
	CHECK(m != NULL);
	memset(m->m_priv_buf, 'a', m->m_priv_cap);
	m->m_data += 40;
	m->m_len = 50;
	if (m->m_flags & M_PKTHDR)
		m->m_pkthdr.len = 50;
	if (kind == LIAR)
		m->m_pkthdr.len = 45;
	if (kind == SHARED)
		CHECK((other = m_copypacket(m, M_NOWAIT)) != NULL);
	if (kind == READ_ONLY)
		m->m_flags |= M_RDONLY;
	if (kind == RECORD)
		m->m_flags |= M_EOR;
	if (kind == BY_HAND) {
		/* Behind where a header has its bytes. */
		m->m_flags |= M_PKTHDR;
		m->m_data = m->m_pktdat + 40;
		memset(&m->m_pkthdr, 0, sizeof(m->m_pkthdr));
		m->m_pkthdr.len = 50;
	}
	if (kind == TAKEN_AWAY)
		m->m_flags &= ~(unsigned)M_PKTHDR;
	if (kind == EXT_CLEARED)
		m->m_flags &= ~(unsigned)M_EXT;
	if (kind == EXT_SET) {
		/* The window was forgotten. */
		m->m_ext.ext_buf = lent;
		m->m_ext.ext_size = sizeof(lent);
		m->m_ext.ext_free = never;
		m->m_flags |= M_EXT;
	}
	if (kind == CHAIN || kind == BROKEN) {
		m->m_next = m_get(M_NOWAIT, MT_DATA);
		m->m_next->m_len = kind == CHAIN ? 20 : 1 << 20;
		m->m_pkthdr.len = 70;
	}
	return m;
}

/* What can be told of an mbuf without its address. */
static long told(const struct mbuf *m, const struct mbuf *of, int what)
{
	if (m == NULL)
		return -1;
	switch (what) {
	case 0:
		return m == of;
	case 1:
		if (m != of)
			return 0;
		return m->m_data - (m->m_priv_storage != NULL ? m->m_priv_buf : (const char *)m);
	case 2:
		return m->m_len;
	case 3:
		/* Or what is there instead. */
		return m->m_flags & M_PKTHDR || (m == of && m->m_priv_storage == NULL) ? m->m_pkthdr.len : -2;
	case 4:
		return m->m_next == NULL ? 0 : m->m_next->m_len + 1;
	default:
		return m->m_flags & (M_EXT | M_PKTHDR | M_EOR | M_RDONLY);
	}
}

static void alike(const struct mbuf *m, const struct mbuf *m_was, const struct mbuf *n, const struct mbuf *n_was)
{
	int what;

	for (what = 0; what < 6; what++)
		CHECK_INT(told(m, m_was, what), told(n, n_was, what));
}

/* Windows that are in order, and some that are not. */
static const struct window { int start, len; } windows[] = {
	{ 0, 50 }, { -40, 50 }, { -40, 0 }, { 0, 0 }, { -41, 50 }, { -60, 70 }, { 0, 1 << 20 }, { 0, -1 }, { 1 << 20, 5 }, { -(1 << 20), 5 },
};
static const int lengths[] = { 0, 1, 14, 39, 40, 41, 50, 51, 90, 1000, -1, -14, -50, -60, 0x7fffffff, -0x7fffffff };
static const int offsets[] = { 0, 1, 10, 49, 50, 51, 1000, -1, -0x7fffffff };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put(struct mbuf *m, const struct window *window)
{
	m->m_data += window->start;
	m->m_len = window->len;
}

enum { PREPEND, ADJ, PULLUP, COPYDATA, COPYBACK, OPS };

/* What an operation copied, if it did. */
static char out[2][2048];
static const char in[2048] = "what is written";

/* Not inlined. */
static void (*volatile call_adj)(struct mbuf *, int) = m_adj;
static struct mbuf *(*volatile call_pullup)(struct mbuf *, int) = m_pullup;
static void (*volatile call_copydata)(const struct mbuf *, int, int, void *) = m_copydata;
static void (*volatile call_copyback)(struct mbuf *, int, int, const void *) = m_copyback;

static struct mbuf *by_header(int op, struct mbuf *m, int off, int len)
{
	switch (op) {
	case PREPEND:
		M_PREPEND(m, len, M_NOWAIT);
		return m;
	case ADJ:
		m_adj(m, len);
		return m;
	case PULLUP:
		return m_pullup(m, len);
	case COPYDATA:
		m_copydata(m, off, len, out[0]);
		return m;
	default:
		m_copyback(m, off, len, in);
		return m;
	}
}

static struct mbuf *by_call(int op, struct mbuf *m, int off, int len)
{
	switch (op) {
	case PREPEND:
		return m_priv_prepend(m, len, M_NOWAIT);
	case ADJ:
		call_adj(m, len);
		return m;
	case PULLUP:
		return call_pullup(m, len);
	case COPYDATA:
		call_copydata(m, off, len, out[1]);
		return m;
	default:
		call_copyback(m, off, len, in);
		return m;
	}
}

static void let_go(struct mbuf *m, struct mbuf *shared)
{
	if (m != NULL)
		m_freem(m);
	if (shared != NULL)
		m_freem(shared);
}

static void compare(int kind, const struct window *window, int op, int off, int len)
{
	struct mbuf *m = make(kind), *m_other = other;
	struct mbuf *n = make(kind), *n_other = other;
	struct mbuf *m_was = m, *n_was = n;
	const char *data;
	int m_errno, n_errno;

	put(m, window);
	put(n, window);
	data = m->m_data;
	memset(out, 0, sizeof(out));
	errno = 0;
	m = by_header(op, m, off, len);
	m_errno = errno;
	errno = 0;
	n = by_call(op, n, off, len);
	n_errno = errno;
	if (op == ADJ && m_errno == 0 && n_errno == EFAULT && len >= 0 && len <= window->len) {
		/* Touches no bytes, and does not look whether they are there. */
		CHECK_INT(m->m_data - data, len);
		CHECK_INT(m->m_len, window->len - len);
	} else if ((kind == EXT_CLEARED || kind == EXT_SET || kind == BY_HAND) && m_errno == 0 && n_errno == EFAULT) {
		/* Flags were changed by hand; the bytes are those of the storage that the library knows of. */
		CHECK(m == m_was && m->m_data >= m->m_priv_buf);
		CHECK(m->m_data + m->m_len <= m->m_priv_buf + m->m_priv_cap);
	} else {
		alike(m, m_was, n, n_was);
		CHECK_INT(m_errno, n_errno);
		CHECK(memcmp(out[0], out[1], sizeof(out[0])) == 0);
		if (op == COPYBACK && m_errno == 0)
			CHECK(memcmp(m->m_data, n->m_data, (size_t)m->m_len) == 0);
	}
	if (m == NULL && m_errno == EFAULT) {
		/* What is wrong stays ours. */
		m = m_was;
		n = n_was;
	}
	let_go(m, m_other);
	let_go(n, n_other);
}

/* Whether there is a buffer, after none of its bytes were copied: the compiler may not conclude that there is. */
static int is_there_to(struct mbuf *m, int none, char *buf)
{
	m_copydata(m, 0, none, buf);
	return buf != NULL;
}

static int is_there_from(struct mbuf *m, int none, char *buf)
{
	m_copyback(m, 0, none, buf);
	return buf != NULL;
}

int main(void)
{
	size_t i, j, k;
	int kind, op;

	setenv("MBUF_ON_ERROR", "error", 1);
	for (kind = 0; kind < KINDS; kind++)
		for (i = 0; i < COUNT(windows); i++)
			for (j = 0; j < COUNT(lengths); j++)
				for (op = 0; op < OPS; op++)
					for (k = 0; k < (op >= COPYDATA ? COUNT(offsets) : 1); k++)
						if (op < COPYDATA || lengths[j] <= (int)sizeof(in))
							compare(kind, &windows[i], op, offsets[k], lengths[j]);
	/* A freed one is not touched. What others have of it keeps its flags. */
	for (kind = 0; kind < KINDS; kind++)
		for (op = 0; op < OPS; op++) {
			struct mbuf *m = make(kind), *next = m->m_next, *shared = other;

			m_free(m);
			errno = 0;
			m = by_header(op, m, 0, op == PREPEND ? 0 : 3);
			CHECK_INT(errno, EFAULT);
			CHECK((m == NULL) == (op == PREPEND || op == PULLUP));
			let_go(next, shared);
		}
	/* From and to bytes of the same mbuf, of a number that the compiler knows. */
	for (i = 0; i < 17; i++) {
		struct mbuf *m = make(CLUSTER), *n = make(CLUSTER);

		for (j = 0; j < 50; j++)
			m->m_data[j] = n->m_data[j] = (char)j;
		m_copyback(m, (int)i, 33, m->m_data + 16 - i);
		call_copyback(n, (int)i, 33, n->m_data + 16 - i);
		CHECK(memcmp(m->m_data, n->m_data, 50) == 0);
		m_copydata(m, (int)i, 33, m->m_data + 16 - i);
		call_copydata(n, (int)i, 33, n->m_data + 16 - i);
		CHECK(memcmp(m->m_data, n->m_data, 50) == 0);
		m_freem(m);
		m_freem(n);
	}
	for (i = 0; i < 2; i++) {
		int (*volatile is_there)(struct mbuf *, int, char *) = i == 0 ? is_there_to : is_there_from;
		struct mbuf *m = make(CLUSTER);

		CHECK(!is_there(m, 0, NULL));
		m_copydata(m, 0, 0, NULL);
		m_copyback(m, 0, 0, NULL);
		m_freem(m);
	}
	/* BSD has it that some do nothing with none. */
	for (op = 0; op < OPS; op++) {
		errno = 0;
		CHECK(by_header(op, NULL, 0, 4) == NULL);
		CHECK_INT(errno, op == ADJ || op == COPYBACK ? 0 : EFAULT);
	}
	return 0;
}
