/* What the programs of all systems use to look at chains, beside the functions under test. */
#include <string.h>
#include "check.h"

/* The bytes of a chain, by its fields alone. */
static int holds(const struct mbuf *m, const char *bytes)
{
	size_t len = strlen(bytes), at = 0;
	for (; m != NULL; m = m->m_next) {
		if (m->m_len < 0 || (size_t)m->m_len > len - at || memcmp(m->m_data, bytes + at, (size_t)m->m_len) != 0)
			return 0;
		at += (size_t)m->m_len;
	}
	return at == len;
}

static int mbufs(const struct mbuf *m)
{
	int n = 0;
	for (; m != NULL; m = m->m_next)
		n++;
	return n;
}

/* How many mbufs are in use. */
static long in_use(void)
{
	long types[MT_NTYPES], sum = 0;
	int i;
	mbuf_types(types);
	for (i = 0; i < MT_NTYPES; i++)
		sum += types[i];
	return sum;
}

/* No allocation succeeds while it is set. */
static void dry(int on)
{
	CHECK_INT(mbuf_sysctl_set("kern.ipc.mbuf.fault", on ? "after:0" : "none"), 0);
}

/* A packet of "0123456789" in three mbufs: of four bytes inside, of four in a cluster, and of two inside. */
static struct mbuf *digits(void)
{
	struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
	CHECK(m != NULL);
	m->m_next = m_getcl(M_NOWAIT, MT_DATA, 0);
	CHECK(m->m_next != NULL);
	m->m_next->m_next = m_get(M_NOWAIT, MT_DATA);
	CHECK(m->m_next->m_next != NULL);
	memcpy(m->m_data, "0123", 4);
	memcpy(m->m_next->m_data, "4567", 4);
	memcpy(m->m_next->m_next->m_data, "89", 2);
	m->m_len = m->m_next->m_len = 4;
	m->m_next->m_next->m_len = 2;
	m->m_pkthdr.len = 10;
	return m;
}

/* Flags are a bit each, and go with a packet's header. */
static void flags_are_bits(const uint32_t *flags, size_t n)
{
	uint32_t all = 0;
	size_t i;
	for (i = 0; i < n; i++) {
		struct mbuf *m = digits(), *copy;
		CHECK(flags[i] != 0 && (flags[i] & (flags[i] - 1)) == 0 && (all & flags[i]) == 0);
		all |= flags[i];
		m->m_flags |= flags[i];
		copy = m_copypacket(m, M_NOWAIT);
		CHECK(m->m_flags & copy->m_flags & flags[i]);
		m->m_flags &= ~flags[i];
		CHECK(!(m->m_flags & flags[i]) && (m->m_flags & M_PKTHDR));
		m_freem(m);
		m_freem(copy);
	}
}

/* Types are kept, and are different. */
static void types_are_kept(const int *types, size_t n)
{
	uint32_t all = 0;
	size_t i;
	for (i = 0; i < n; i++) {
		struct mbuf *m = m_gethdr(M_NOWAIT, types[i]), *copy;
		CHECK(types[i] > 0 && types[i] < MT_NTYPES && m->m_type == (uint32_t)types[i] && !(all & (1u << types[i])));
		all |= 1u << types[i];
		m->m_len = m->m_pkthdr.len = 1;
		m->m_data[0] = 'x';
		copy = m_copypacket(m, M_NOWAIT);
		CHECK(copy->m_type == (uint32_t)types[i]);
		m_freem(m);
		m_freem(copy);
	}
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
