/* Every function with memory for so many allocations and no more. */
#include <mbuf.h>
#include "faults.h"

static int try_one(int what)
{
	int failed = 0;
	struct iovec iov = { bytes, 10000 };
	struct uio uio = { &iov, 1, 0, 10000, UIO_SYSSPACE, UIO_WRITE, NULL };
	struct mbuf *other;
	int off;
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
	return fail_in_turn(31, try_one);
}
