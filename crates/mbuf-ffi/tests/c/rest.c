/* Tags, queues, scattered memory, settings, statistics, drains; freed on another thread. */
#define _POSIX_C_SOURCE 200809L
#include <mbuf.h>
#include <pthread.h>
#include "check.h"

static int freed, drained;

static void free_mine(struct m_tag *t)
{
	freed++;
	m_tag_free_default(t);
}

static int interfaces;

/* Behind protocols. */
static void drain_interface(void *arg)
{
	CHECK(arg == &interfaces && drained > interfaces);
	interfaces++;
}

static void drain_memory(void *arg)
{
	(void)arg;
	CHECK(!"the system is not short of memory");
}

static void drain(void *arg)
{
	CHECK(arg == &drained);
	drained++;
}

static void tags(void)
{
	struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA), *n;
	struct m_tag *t = m_tag_get(7, 4, M_NOWAIT), *u;
	CHECK(m_tag_first(m) == NULL && m_tag_find(m, 7, NULL) == NULL);
	memcpy(t + 1, "abcd", 4);
	m_tag_prepend(m, t);
	u = m_tag_alloc(99, 8 | MTAG_PERSISTENT, 0, M_NOWAIT);
	m_tag_prepend(m, u);
	CHECK(m_tag_first(m) == u && m_tag_next(m, u) == t && m_tag_next(m, t) == NULL);
	CHECK(m_tag_find(m, 7, NULL) == t && m_tag_find(m, 7, t) == NULL);
	CHECK(m_tag_locate(m, 99, 8 | MTAG_PERSISTENT, NULL) == u && m_tag_locate(m, 98, 8, NULL) == NULL);
	m->m_len = m->m_pkthdr.len = 1;
	n = m_copypacket(m, M_NOWAIT);
	t = m_tag_find(n, 7, NULL);
	CHECK(t != NULL && t != m_tag_find(m, 7, NULL) && memcmp(t + 1, "abcd", 4) == 0);
	CHECK(m_tag_next(n, m_tag_first(n)) == t);
	t->m_tag_free = free_mine;
	m_tag_delete(n, t);
	CHECK(freed == 1 && m_tag_find(n, 7, NULL) == NULL);
	CHECK(m_tag_copy_chain(n, m, M_NOWAIT) == 1 && m_tag_find(n, 7, NULL) != NULL);
	m_tag_find(n, 7, NULL)->m_tag_free = free_mine;
	m_tag_delete_nonpersistent(n);
	CHECK(freed == 2 && m_tag_first(n)->m_tag_cookie == 99);
	m_tag_first(n)->m_tag_free = free_mine;
	m_freem(n);
	CHECK_INT(freed, 3);
	t = m_tag_find(m, 7, NULL);
	m_tag_unlink(m, t);
	m_tag_free(t);
	m_tag_delete_chain(m, NULL);
	CHECK(m_tag_first(m) == NULL);
	/* Left in the middle of a chain, they are freed all the same. */
	t = m_tag_get(1, 0, M_NOWAIT);
	t->m_tag_free = free_mine;
	n = m_gethdr(M_NOWAIT, MT_DATA);
	m_tag_prepend(n, t);
	m->m_next = n;
	m_freem(m);
	CHECK_INT(freed, 4);
}

static void queues(void)
{
	struct mbufq q, r;
	struct mbuf *m[4];
	int i;
	mbufq_init(&q, 3);
	mbufq_init(&r, 0);
	for (i = 0; i < 4; i++)
		m[i] = m_gethdr(M_NOWAIT, MT_DATA);
	for (i = 0; i < 3; i++)
		CHECK(mbufq_enqueue(&q, m[i]) == 0);
	CHECK(mbufq_full(&q) && mbufq_enqueue(&q, m[3]) == ENOBUFS && mbufq_len(&q) == 3);
	CHECK(mbufq_dequeue(&q) == m[0] && mbufq_first(&q) == m[1] && mbufq_last(&q) == m[2]);
	mbufq_prepend(&q, m[0]);
	CHECK(mbufq_enqueue(&r, m[3]) == 0);
	mbufq_concat(&r, &q);
	CHECK(mbufq_empty(&q) && mbufq_len(&r) == 4 && mbufq_first(&r) == m[3]);
	/* What is done to a packet in a queue leaves it there. */
	CHECK(m_append(m[3], 3, "abc") == 1 && m[3]->m_nextpkt == m[0]);
	m_adj(m[3], 1);
	CHECK(m_pullup(m[3], 2) == m[3] && m[3]->m_nextpkt == m[0]);
	mbufq_drain(&r);
	CHECK(mbufq_flush(&r) == NULL);
}

static void scattered(void)
{
	char a[100], b[3000], c[3100];
	struct iovec iov[2] = { { a, sizeof(a) }, { b, sizeof(b) } };
	struct uio uio = { iov, 2, 0, sizeof(a) + sizeof(b), UIO_SYSSPACE, UIO_WRITE, NULL };
	struct mbuf *m;
	size_t i;
	for (i = 0; i < sizeof(a); i++)
		a[i] = (char)i;
	for (i = 0; i < sizeof(b); i++)
		b[i] = (char)(i + 7);
	m = m_uiotombuf(&uio, M_NOWAIT, 0, 24, M_PKTHDR);
	CHECK(m != NULL && m->m_pkthdr.len == 3100 && uio.uio_resid == 0 && M_LEADINGSPACE(m) == 24);
	m_copydata(m, 0, 3100, c);
	CHECK(memcmp(c, a, sizeof(a)) == 0 && memcmp(c + 100, b, sizeof(b)) == 0);
	memset(c, 0, sizeof(c));
	iov[0].iov_base = c, iov[0].iov_len = 1000;
	iov[1].iov_base = c + 1000, iov[1].iov_len = 1000;
	uio.uio_iov = iov, uio.uio_iovcnt = 2, uio.uio_resid = 2000;
	CHECK(m_mbuftouio(&uio, m, 1500) == 0 && uio.uio_resid == 500);
	CHECK(memcmp(c, a, sizeof(a)) == 0 && memcmp(c + 100, b, 1400) == 0 && c[1500] == 0);
	m_freem(m);
	iov[0].iov_base = a, iov[0].iov_len = sizeof(a);
	uio.uio_iov = iov, uio.uio_iovcnt = 1, uio.uio_resid = 1 << 20;
	m = m_uiomove(&uio);
	CHECK(m != NULL && m->m_pkthdr.len == 100);
	m_freem(m);
	m = m_devget(b, 2999, 0, NULL, NULL);
	CHECK(m != NULL && m->m_pkthdr.len == 2999 && M_LEADINGSPACE(m) == 16);
	m_copydata(m, 0, 2999, c);
	CHECK(memcmp(b, c, 2999) == 0);
	m_freem(m);
}

static char mine[2048];

static void leave(struct mbuf *m)
{
	(void)m;
}

/* Who waits does so for what it takes to have storage that was attached by hand, too. */
static void attached(int how, int succeeds)
{
	struct mbuf *m, *other;
	int i, done;

	for (i = 0; i < 6; i++) {
		m = m_gethdr(M_NOWAIT, MT_DATA);
		m->m_ext.ext_buf = m->m_data = mine;
		m->m_ext.ext_size = sizeof(mine);
		m->m_ext.ext_free = leave;
		m->m_flags |= M_EXT;
		m->m_len = m->m_pkthdr.len = 200;
		CHECK_INT(mbuf_sysctl_set("kern.ipc.mbuf.fault", "nth:0,of:external"), 0);
		switch (i) {
		case 0: m = m_prepend(m, 40, how); done = m != NULL; break;
		case 1: m = m_unshare(m, how); done = m != NULL; break;
		case 2: done = m_copyback2(m, 10, 1, "x", how) == 0; break;
		case 3: other = m_split(m, 100, how); done = other != NULL; m_freem(other); break;
		case 4: done = m_collapse(m, how, 1) != NULL; break;
		default: done = m_makewritable(&m, 0, 50, how) == 0; break;
		}
		CHECK_INT(done, succeeds);
		CHECK_INT(mbuf_sysctl_set("kern.ipc.mbuf.fault", "none"), 0);
		m_freem(m);
	}
}

static void *other_thread(void *arg)
{
	struct mbuf **m = arg;
	int i;
	for (i = 0; i < 1000; i++)
		m_freem(m[i]);
	return NULL;
}

static void threads(void)
{
	static struct mbuf *m[1000];
	pthread_t thread;
	int i;
	for (i = 0; i < 1000; i++) {
		m[i] = i % 3 == 0 ? m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR) : m_gethdr(M_NOWAIT, MT_DATA);
		if (i % 7 == 0)
			m[i]->m_next = m_getjcl(M_NOWAIT, MT_DATA, 0, MJUM16BYTES);
	}
	CHECK(pthread_create(&thread, NULL, other_thread, m) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	struct mbuf_setting settings[2] = { { "kern.ipc.nmbclusters", "64" }, { "kern.ipc.nmbufs", "2000" } };
	struct mbuf_config config = { settings, 2, NULL, MBUF_ON_ERROR_REPORT };
	struct mbstat stat;
	struct mbuf_drain *hook, *interface, *memory;
	struct mbuf *m = NULL, *n;
	long types[MT_NTYPES];
	char text[4096];
	uint64_t number;
	int i;

	CHECK(MBUF_ON_ERROR_ENVIRONMENT == 0 && MBUF_ON_ERROR_ABORT != MBUF_ON_ERROR_REPORT);
	settings[0].value = "many";
	CHECK_INT(mbuf_init(&config), EINVAL);
	settings[0].value = "1024";
	CHECK_INT(mbuf_init(&config), 0);
	CHECK_INT(mbuf_init(NULL), EBUSY);
	CHECK(mbuf_sysctl_get("kern.ipc.nmbclusters", text, sizeof(text)) == 4 && strcmp(text, "1024") == 0);
	CHECK(mbuf_sysctl_get("kern.ipc.nmbclusters", text, 3) == 4 && strcmp(text, "10") == 0);
	CHECK(mbuf_sysctl_get("kern.ipc.nothing", text, sizeof(text)) == -1 && errno == ENOENT);
	CHECK(mbuf_sysctl_number("kern.ipc.nmbclusters", &number) == 0 && number == 1024);
	CHECK(mbuf_sysctl_set("kern.ipc.nmbclusters", "2048") == 0);
	CHECK(mbuf_sysctl_set("kern.ipc.nmbclusters", "-1") == EINVAL);
	CHECK(mbuf_sysctl_number("kern.ipc.nmbclusters", &number) == 0 && number == 2048);

	tags();
	queues();
	scattered();
	threads();
	attached(M_WAITOK, 1);
	attached(M_NOWAIT, 0);

	m = m_gethdr(M_NOWAIT, MT_CONTROL);
	n = m_getcl(M_NOWAIT, MT_DATA, 0);
	mbuf_stat(&stat);
	mbuf_types(types);
	CHECK(stat.m_mbufs == 2 && stat.m_clusters == 1 && stat.m_mhlen == MHLEN && types[MT_CONTROL] == 1);
	m_chtype(n, MT_OOBDATA);
	mbuf_types(types);
	CHECK(types[MT_OOBDATA] == 1 && types[MT_DATA] == 0);
	m_freem(n);
	m_freem(m);
	CHECK(mbuf_netstat(text, sizeof(text)) < sizeof(text) && strstr(text, "mbufs in use") != NULL);

	/* What is recorded of buffers in use. */
	CHECK(mbuf_sysctl_set("kern.ipc.mbuf.audit", "1") == 0);
	m = m_gethdr(M_NOWAIT, MT_DATA);
	m->m_nextpkt = n = m_gethdr(M_NOWAIT, MT_DATA);
	mbuftrackid(m, 4711);
	CHECK(mbuf_audit(text, sizeof(text)) > 0 && strstr(text, "4711") != NULL);
	n->m_nextpkt = m;
	mbuftrackid(m, 4712);
	n->m_nextpkt = m->m_nextpkt = NULL;
	m_freem(n);
	m_freem(m);
	CHECK(mbuf_sysctl_set("kern.ipc.mbuf.audit", "0") == 0);

	/* The limit is exact, and those who could let go of mbufs are asked. */
	memory = mbuf_drain_register(drain_memory, NULL, MBUF_DRAIN_MEMORY, 0);
	interface = mbuf_drain_register(drain_interface, &interfaces, MBUF_DRAIN_INTERFACE, -1);
	hook = mbuf_drain_register(drain, &drained, MBUF_DRAIN_PROTOCOL, 0);
	CHECK(mbuf_drain_register(drain, &drained, MBUF_DRAIN_MEMORY + 1, 0) == NULL && errno == EINVAL);
	CHECK(m_reclaim() == 1 && drained == 1 && interfaces == 1);
	mbuf_drain_deregister(memory);
	mbuf_drain_deregister(interface);
	for (m = NULL, i = 0; (n = m_get(M_NOWAIT, MT_DATA)) != NULL; i++) {
		n->m_next = m;
		m = n;
	}
	number = 0;
	CHECK(mbuf_sysctl_number("kern.ipc.nmbufs", &number) == 0);
	CHECK_INT(i, number);
	CHECK(errno == ENOBUFS);
	CHECK(m_get(M_TRYWAIT, MT_DATA) == NULL && drained == 2);
	mbuf_drain_deregister(hook);
	m_freem(m);
	mb_reclaim();
	CHECK_INT(drained, 2);
	mbuf_stat(&stat);
	CHECK(stat.m_mbufs == 0 && stat.m_clusters == 0 && stat.m_drops >= 2);
	CHECK(mbuf_trim() > 0);
	return 0;
}
