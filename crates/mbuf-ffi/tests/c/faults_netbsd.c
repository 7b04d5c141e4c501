/* NetBSD's names with memory for so many allocations and no more. */
#include <mbuf/netbsd.h>
#include "faults.h"

static int frees;

static void give_back(caddr_t buf, u_int size, void *arg)
{
	CHECK(buf == bytes && size == 3000 && arg == &frees);
	frees++;
}

static int try_one(int what)
{
	struct mbuf *m, *n;
	int failed = 0;
	switch (what) {
	case 0: MGET(m, M_DONTWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 1: MGETHDR(m, M_DONTWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 2: NEW(m_getclr(M_DONTWAIT, MT_SONAME)); break;
	case 3: NEW(m_retry(M_DONTWAIT, MT_DATA)); break;
	case 4: NEW(m_retryhdr(M_DONTWAIT, MT_DATA)); break;
	case 5:
		MGETHDR(m, M_DONTWAIT, MT_DATA);
		failed = m == NULL;
		if (m != NULL) {
			MCLGET(m, M_DONTWAIT);
			failed = !(m->m_flags & M_EXT);
			CHECK(!failed || m->m_data == m->m_pktdat);
		}
		m_freem(m);
		break;
	case 6:
		MGETHDR(m, M_DONTWAIT, MT_DATA);
		failed = m == NULL;
		if (m != NULL) {
			MEXTMALLOC(m, 5000, M_NOWAIT);
			failed = !(m->m_flags & M_EXT);
		}
		m_freem(m);
		break;
	/* The callback is called once if the memory was attached, and never if not. */
	case 7:
		frees = 0;
		MGETHDR(m, M_DONTWAIT, MT_DATA);
		if (m != NULL)
			MEXTADD(m, bytes, 3000, M_DEVBUF, give_back, &frees);
		failed = m == NULL || !(m->m_flags & M_EXT);
		n = failed ? NULL : m_copym(m, 0, M_COPYALL, M_DONTWAIT);
		CHECK_INT(frees, 0);
		m_freem(m);
		m_freem(n);
		CHECK_INT(frees, !failed);
		break;
	/* By hand it was attached when the macro is called, which lets go of it if it cannot keep it. */
	case 8:
		frees = 0;
		MGETHDR(m, M_DONTWAIT, MT_DATA);
		failed = m == NULL;
		if (m == NULL)
			break;
		m->m_data = m->m_ext.ext_buf = bytes;
		m->m_flags |= M_EXT;
		m->m_ext.ext_size = 3000;
		m->m_ext.ext_free = give_back;
		m->m_ext.ext_arg = &frees;
		MCLINITREFERENCE(m);
		failed = !(m->m_flags & M_EXT);
		CHECK_INT(frees, failed);
		m_freem(m);
		CHECK_INT(frees, 1);
		break;
	case 9: NEW(m_devget(bytes, 5000, 100, NULL, NULL)); break;
	case 10: NEW(m_copym(kept, 0, M_COPYALL, M_DONTWAIT)); break;
	case 11: NEW(m_copypacket(kept, M_DONTWAIT)); break;
	case 12: NEW(m_dup(kept, 100, 2500, M_DONTWAIT)); break;
	case 13: TAKES(m_copyback_cow(kept, 100, 50, bytes + 100, M_DONTWAIT)); break;
	case 14: failed = m_makewritable(&kept, 10, 500, M_DONTWAIT) != 0; break;
	case 15: TAKES(m_prepend(kept, 40, M_DONTWAIT)); break;
	case 16: M_PREPEND(kept, 14, M_DONTWAIT); failed = kept == NULL; break;
	case 17: TAKES(m_pullup(kept, 2500)); break;
	case 18: m = m_pulldown(kept, 50, 500, NULL); failed = m == NULL; if (failed) kept = NULL; break;
	case 19: TAKES(m_copyup(kept, 80, 16)); break;
	case 20: m = m_split(kept, 1000, M_DONTWAIT); failed = m == NULL; m_freem(m); break;
	/* BSD writes what it has memory for: here it is all or nothing. */
	case 21: m_copyback(kept, 2500, 5000, (caddr_t)bytes + 2500); failed = kept->m_pkthdr.len == 3000; break;
	default: exit(2);
	}
	return failed;
}

int main(void)
{
	return fail_in_turn(22, try_one);
}
