/*
 * What the programs have in common that fail every allocation in turn: a packet to work on, and the loop. What fails
 * changes nothing, or frees what BSD frees, and nothing is lost.
 */
#include "check.h"

static char bytes[20000];
static struct mbuf *made, *kept;

/* Makes `kept`: 3000 bytes in several mbufs, some of them shared. */
static void make(void)
{
	struct mbuf *n;
	kept = m_gethdr(M_NOWAIT, MT_DATA);
	m_copyback(kept, 0, 60, bytes);
	n = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	m_copyback(n, 0, 1940, bytes + 60);
	m_catpkt(kept, n);
	n = m_get(M_NOWAIT, MT_DATA);
	m_copyback(n, 0, 1000, bytes + 2000);
	m_cat(kept, n);
	CHECK_INT(m_fixhdr(kept), 3000);
	made = m_copym(kept, 0, M_COPYALL, M_NOWAIT);
	CHECK(made != NULL);
	m_freem(made);
	made = m_copym(kept, 60, 1000, M_NOWAIT);
}

static int same(struct mbuf *m, int len)
{
	static char got[20000];
	if ((int)m_length(m, NULL) != len)
		return 0;
	m_copydata(m, 0, len, got);
	return memcmp(got, bytes, (size_t)len) == 0;
}

#define NEW(call) do { struct mbuf *m_ = (call); failed = m_ == NULL; m_freem(m_); } while (0)
/* Frees the chain when it fails. */
#define TAKES(call) do { struct mbuf *m_ = (call); failed = m_ == NULL; kept = m_; } while (0)

static uint64_t number(const char *name)
{
	uint64_t value;
	CHECK_INT(mbuf_sysctl_number(name, &value), 0);
	return value;
}

/* Memory for no more than so many allocations. */
static void memory_for(int allocations)
{
	char fault[32];
	snprintf(fault, sizeof(fault), "after:%d", allocations);
	CHECK_INT(mbuf_sysctl_set("kern.ipc.mbuf.fault", fault), 0);
}

/*
 * Tries `count` things with memory for none, one, two … allocations, until it is enough. `try_one` does the one of that
 * number with `kept`, and says whether it failed: then `kept` is as it was, or it is NULL as BSD freed it.
 */
static int fail_in_turn(int count, int (*try_one)(int))
{
	int what, nth;
	size_t i;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	for (what = 0; what < count; what++) {
		int failed, failures = 0, struck = 1;
		for (nth = 0; struck; nth++) {
			uint64_t before = number("kern.ipc.mbuf.faults");
			CHECK(nth < 200);
			make();
			memory_for(nth);
			failed = try_one(what);
			struck = number("kern.ipc.mbuf.faults") > before;
			CHECK_INT(mbuf_sysctl_set("kern.ipc.mbuf.fault", "none"), 0);
			failures += failed;
			if (failed && kept != NULL && (!same(kept, 3000) || kept->m_pkthdr.len != 3000)) {
				fprintf(stderr, "%d, allocation %d: the packet is another\n", what, nth);
				return 1;
			}
			m_freem(kept);
			/* Who shares with it saw nothing. */
			CHECK(m_length(made, NULL) == 1000 && memcmp(mtod(made, char *), bytes + 60, (size_t)made->m_len) == 0);
			m_freem(made);
			CHECK_INT(number("kern.ipc.mbuf.bytes.current"), 0);
		}
		if (failures == 0) {
			fprintf(stderr, "%d did not fail once in %d tries\n", what, nth);
			return 1;
		}
	}
	return 0;
}
