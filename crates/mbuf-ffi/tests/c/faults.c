/* Every function with memory for so many allocations and no more: what fails changes nothing, or frees what BSD frees, and nothing is lost. */
#include <mbuf.h>
#include "check.h"

static char bytes[20000];
static struct mbuf *made, *kept;
static int off;

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

static int try(int what)
{
	int failed = 0;
	struct iovec iov = { bytes, 10000 };
	struct uio uio = { &iov, 1, 0, 10000, UIO_SYSSPACE, UIO_WRITE, NULL };
	struct mbuf *other;
	switch (what) {
	case 0: NEW(m_get(M_NOWAIT, MT_DATA)); break;
	case 1: NEW(m_gethdr(M_TRYWAIT, MT_DATA)); break;
	case 2: NEW(m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR)); break;
	case 3: NEW(m_getcl(M_NOWAIT, MT_DATA, 0)); break;
	case 4: NEW(m_getjcl(M_NOWAIT, MT_DATA, M_PKTHDR, MJUM9BYTES)); break;
	case 5: NEW(m_get2(3000, M_NOWAIT, MT_DATA, 0)); break;
	case 6: NEW(m_getm2(NULL, 10000, M_NOWAIT, MT_DATA, M_PKTHDR)); break;
	case 7: failed = m_getm2(kept, 10000, M_NOWAIT, MT_DATA, 0) == NULL; break;
	case 8: NEW(m_getc(10000, M_NOWAIT, MT_DATA)); break;
	case 9: NEW(m_copym(kept, 0, M_COPYALL, M_NOWAIT)); break;
	case 10: NEW(m_copym(kept, 100, 2500, M_NOWAIT)); break;
	case 11: NEW(m_copypacket(kept, M_NOWAIT)); break;
	case 12: NEW(m_dup(kept, M_NOWAIT)); break;
	case 13: NEW(m_defrag_nofree(kept, M_NOWAIT)); break;
	case 14: other = m_defrag(kept, M_NOWAIT); failed = other == NULL; if (other != NULL) kept = other; break;
	case 15: other = m_fragment(kept, M_NOWAIT, 100); failed = other == kept; kept = other; break;
	case 16: NEW(m_uiotombuf(&uio, M_NOWAIT, 0, 0, M_PKTHDR)); CHECK(!failed || uio.uio_resid == 10000); break;
	case 17: NEW(m_devget(bytes, 10000, 0, NULL, NULL)); break;
	case 18: failed = m_append(kept, 9000, bytes + 3000) == 0; break;
	case 19: failed = m_devpad(kept, 9000) != 0; break;
	case 20: failed = m_copyback2(kept, 2500, 5000, bytes + 2500, M_NOWAIT) != 0; break;
	case 21: failed = m_copyback2(kept, 100, 50, bytes + 100, M_NOWAIT) != 0; break;
	case 22: other = m_split(kept, 1000, M_NOWAIT); failed = other == NULL; m_freem(other); break;
	case 23: other = m_split(kept, 30, M_NOWAIT); failed = other == NULL; m_freem(other); break;
	case 24: TAKES(m_pullup(kept, 2500)); break;
	case 25: TAKES(m_copyup(kept, 80, 16)); break;
	case 26: failed = m_pulldown(kept, 50, 500, &off) == NULL; if (failed) kept = NULL; break;
	case 27: failed = m_collapse(kept, M_NOWAIT, 2) == NULL; break;
	case 28: TAKES(m_unshare(kept, M_NOWAIT)); break;
	case 29: failed = m_makewritable(&kept, 10, 500, M_NOWAIT) != 0; break;
	case 30: TAKES(m_prepend(kept, 40, M_NOWAIT)); break;
	default: exit(2);
	}
	return failed;
}

int main(void)
{
	int what, nth;
	uint64_t before, after;
	char fault[32];
	struct mbstat stat;
	size_t i;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	for (what = 0; what <= 30; what++) {
		int failed, failures = 0, struck = 1;
		for (nth = 0; struck; nth++) {
			CHECK(nth < 200);
			make();
			snprintf(fault, sizeof(fault), "after:%d", nth);
			CHECK(mbuf_sysctl_set("kern.ipc.mbuf.fault", fault) == 0);
			CHECK(mbuf_sysctl_number("kern.ipc.mbuf.faults", &before) == 0);
			failed = try(what);
			CHECK(mbuf_sysctl_number("kern.ipc.mbuf.faults", &after) == 0);
			struck = after > before;
			CHECK(mbuf_sysctl_set("kern.ipc.mbuf.fault", "none") == 0);
			failures += failed;
			if (failed && kept != NULL) {
				if (!same(kept, 3000) || kept->m_pkthdr.len != 3000) {
					fprintf(stderr, "function %d, allocation %d\n", what, nth);
					return 1;
				}
			}
			m_freem(kept);
			/* Who shares with it saw nothing. */
			CHECK(m_length(made, NULL) == 1000 && memcmp(mtod(made, char *), bytes + 60, (size_t)made->m_len) == 0);
			m_freem(made);
			mbuf_stat(&stat);
			CHECK_INT(stat.m_mbufs, 0);
			CHECK_INT(stat.m_clusters, 0);
		}
		if (failures == 0) {
			fprintf(stderr, "function %d did not fail once in %d tries\n", what, nth);
			return 1;
		}
	}
	return 0;
}
