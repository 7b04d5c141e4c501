/* DragonFly's names with memory for so many allocations and no more. */
#include <mbuf/dragonfly.h>
#include "faults.h"

static int refs;

static void slot_ref(void *arg)
{
	CHECK(arg == &refs && refs > 0);
	refs++;
}

static void slot_free(void *arg)
{
	CHECK(arg == &refs && refs > 0);
	refs--;
}

/* An mbuf on a driver's buffer, which counts. */
static struct mbuf *lent(void)
{
	struct mbuf *m;
	refs = 0;
	MGETHDR(m, MB_DONTWAIT, MT_DATA);
	if (m == NULL)
		return NULL;
	refs = 1;
	m->m_ext.ext_arg = &refs;
	m->m_ext.ext_buf = bytes;
	m->m_ext.ext_free = slot_free;
	m->m_ext.ext_ref = slot_ref;
	m->m_ext.ext_size = 3000;
	m->m_data = bytes;
	m->m_flags |= M_EXT;
	m->m_len = m->m_pkthdr.len = 3000;
	return m;
}

static int try_one(int what)
{
	struct mbuf *m, *n;
	int failed = 0, size;
	switch (what) {
	case 0: MGET(m, MB_DONTWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 1: MGETHDR(m, MB_TRYWAIT, MT_DATA); failed = m == NULL; m_freem(m); break;
	case 2: NEW(m_getl(MINCLSIZE, MB_DONTWAIT, MT_DATA, M_PKTHDR, &size)); break;
	case 3: NEW(m_getb(10, MB_DONTWAIT, MT_DATA, 0)); break;
	case 4: NEW(m_getc(10000, MB_DONTWAIT, MT_DATA)); break;
	case 5: NEW(m_getm(NULL, 10000, MT_DATA, MB_DONTWAIT)); break;
	case 6: failed = m_getm(kept, 10000, MT_DATA, MB_DONTWAIT) == NULL; break;
	case 7:
		MGETHDR(m, MB_DONTWAIT, MT_DATA);
		failed = m == NULL;
		if (m != NULL) {
			m_mclget(m, MB_DONTWAIT);
			failed = m->m_ext.ext_size != MCLBYTES || !(m->m_flags & M_EXT);
		}
		m_freem(m);
		break;
	/* Whoever fails holds nothing of the driver's. */
	case 8:
	case 9:
	case 10:
		m = lent();
		n = m == NULL ? NULL : what == 8 ? m_copypacket(m, MB_DONTWAIT) : what == 9 ? m_split(m, 1000, MB_DONTWAIT) :
		    m_dup(m, MB_DONTWAIT);
		failed = n == NULL;
		CHECK_INT(refs, (m != NULL) + (n != NULL && what != 10));
		m_freem(n);
		CHECK_INT(refs, m != NULL);
		m_freem(m);
		CHECK_INT(refs, 0);
		break;
	/* These free what they were given, and with it the driver's buffer. */
	case 11:
	case 12:
		m = lent();
		failed = m == NULL;
		if (failed)
			break;
		m = what == 11 ? m_unshare(m, MB_DONTWAIT) : m_copyup(m, 100, 16);
		failed = m == NULL;
		CHECK_INT(refs, !failed && what == 12);
		m_freem(m);
		CHECK_INT(refs, 0);
		break;
	case 13: NEW(m_devget(bytes, 10000, 0, NULL, NULL)); break;
	/* m_uiomove() waits until there is memory. */
	case 14: NEW(m_copypacket(kept, MB_DONTWAIT)); break;
	case 15: NEW(m_defrag_nofree(kept, MB_DONTWAIT)); break;
	case 16: m = m_defrag(kept, MB_DONTWAIT); failed = m == NULL; if (!failed) kept = m; break;
	case 17: failed = m_devpad(kept, 9000) != 0; break;
	case 18: M_PREPEND(kept, 14, MB_DONTWAIT); failed = kept == NULL; break;
	case 19: TAKES(m_pullup(kept, 2500)); break;
	case 20: m = m_pulldown(kept, 50, 500, NULL); failed = m == NULL; if (failed) kept = NULL; break;
	case 21: NEW(m_dup(kept, MB_DONTWAIT)); break;
	case 22: NEW(m_copym(kept, 100, 2500, MB_DONTWAIT)); break;
	case 23: m_copyback(kept, 2500, 5000, (caddr_t)bytes + 2500); failed = kept->m_pkthdr.len == 3000; break;
	default: exit(2);
	}
	return failed;
}

int main(void)
{
	return fail_in_turn(24, try_one);
}
