/* FreeBSD's names with memory for so many allocations and no more. */
#include <mbuf/freebsd.h>
#include "faults.h"

static int frees;

static void give_back(struct mbuf *m)
{
	CHECK(m->m_ext.ext_buf == bytes);
	frees++;
}

static void give_back_args(void *arg1, void *arg2)
{
	CHECK(arg1 == bytes && arg2 == NULL);
	frees++;
}

static int try_one(int what)
{
	struct mbuf *m, *n;
	struct m_tag *t;
	int failed = 0, off;
	switch (what) {
	case 0: MGET(m, M_DONTWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 1: MGETHDR(m, M_NOWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 2: NEW(m_getm(NULL, 10000, M_NOWAIT, MT_DATA)); break;
	case 3: failed = m_getm(kept, 10000, M_NOWAIT, MT_DATA) == NULL; break;
	case 4: NEW(m_get3(MJUM9BYTES, M_NOWAIT, MT_DATA, M_PKTHDR)); break;
	case 5:
		MGET(m, M_NOWAIT, MT_DATA);
		failed = m == NULL;
		if (m != NULL && MCLGET(m, M_NOWAIT) == 0) {
			CHECK(!(m->m_flags & M_EXT) && m->m_data == m->m_dat);
			failed = 1;
		}
		m_freem(m);
		break;
	/* A callback of either kind is called once if the memory was attached, and never if not. */
	case 6:
	case 7:
		frees = 0;
		MGETHDR(m, M_NOWAIT, MT_DATA);
		if (m != NULL && what == 6)
			MEXTADD(m, bytes, 3000, give_back, NULL, NULL, 0, EXT_NET_DRV);
		else if (m != NULL)
			MEXTADD(m, bytes, 3000, give_back_args, bytes, NULL, M_RDONLY, EXT_NET_DRV);
		failed = m == NULL || !(m->m_flags & M_EXT);
		n = failed ? NULL : m_copym(m, 0, M_COPYALL, M_NOWAIT);
		CHECK_INT(frees, 0);
		m_freem(m);
		m_freem(n);
		CHECK_INT(frees, !failed);
		break;
	case 8: M_PREPEND(kept, 200, M_NOWAIT); failed = kept == NULL; break;
	case 9: TAKES(m_pullup(kept, 2500)); break;
	case 10: TAKES(m_copyup(kept, 100, 16)); break;
	case 11: TAKES(m_unshare(kept, M_NOWAIT)); break;
	case 12: m = m_pulldown(kept, 50, 100, &off); failed = m == NULL; if (failed) kept = NULL; break;
	case 13: NEW(m_dup(kept, M_DONTWAIT)); break;
	case 14: NEW(m_copypacket(kept, M_DONTWAIT)); break;
	case 15: m = m_defrag(kept, M_DONTWAIT); failed = m == NULL; if (!failed) kept = m; break;
	case 16: m = m_collapse(kept, M_NOWAIT, 1); failed = m == NULL; if (!failed) kept = m; break;
	case 17: m = m_split(kept, 1000, M_DONTWAIT); failed = m == NULL; m_freem(m); break;
	case 18: NEW(m_devget(bytes, 10000, 0, NULL, NULL)); break;
	case 19: failed = !m_append(kept, 9000, (c_caddr_t)bytes + 3000); break;
	case 20:
		/* Tags are memory of another kind: what fails is the mbuf to which they are copied. */
		t = m_tag_get(1, 8, M_NOWAIT);
		CHECK(t != NULL);
		m_tag_prepend(kept, t);
		MGETHDR(m, M_NOWAIT, MT_DATA);
		failed = m == NULL;
		CHECK(failed || (m_dup_pkthdr(m, kept, M_NOWAIT) == 1 && m_tag_find(m, 1, NULL) != NULL));
		m_freem(m);
		break;
	default: exit(2);
	}
	return failed;
}

int main(void)
{
	return fail_in_turn(21, try_one);
}
