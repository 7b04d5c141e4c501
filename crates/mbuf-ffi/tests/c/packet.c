/* Handles: every function, its errors, and that nothing is lost when one fails. */
#define _DEFAULT_SOURCE
#include <mbuf.h>
#include <limits.h>
#include <sys/mman.h>
#include <mbuf/packet.h>
#include "check.h"

static int released;

static void release(void *arg)
{
	CHECK(arg == &released);
	released++;
}

static int is(mbuf_packet_t *p, const char *bytes)
{
	char got[256];
	size_t len = mbuf_packet_len(p);
	return len == strlen(bytes) && mbuf_packet_read(p, 0, got, len) == MBUF_OK && memcmp(got, bytes, len) == 0;
}

int main(void)
{
	void *huge;
	const char *names[2] = { "kern.ipc.nmbclusters", "kern.ipc.nmbufs" }, *values[2] = { "many", "64" };
	mbuf_pool_t *pool = NULL, *standard;
	mbuf_packet_t *a, *b, *c, *many[200];
	static char memory[3000];
	char text[4096];
	const void *bytes;
	size_t len;
	uint64_t value;
	uint16_t sum;
	struct mbuf *m;
	int i, n;

	CHECK(mbuf_pool_create("mine", names, values, 2, &pool) == MBUF_ERROR_NAME && pool == NULL);
	values[0] = "16";
	CHECK(mbuf_pool_create("mine", names, values, 2, &pool) == MBUF_OK);
	CHECK(mbuf_pool_get(pool, "kern.ipc.nmbclusters", text, sizeof(text)) == 2 && strcmp(text, "16") == 0);
	CHECK(mbuf_pool_get(pool, "kern.ipc.nothing", text, sizeof(text)) == -1);
	CHECK(mbuf_pool_set(pool, "kern.ipc.nmbclusters", "none at all") == MBUF_ERROR_NAME);
	CHECK(mbuf_pool_set(pool, "kern.ipc.nmbclusters", "32") == MBUF_OK);

	CHECK(mbuf_packet_copy_of(pool, "hello world", 11, &a) == MBUF_OK && is(a, "hello world"));
	CHECK(mbuf_packet_prepend(a, ">> ", 3) == MBUF_OK && mbuf_packet_append(a, "!", 1) == MBUF_OK);
	CHECK(is(a, ">> hello world!"));
	CHECK(mbuf_packet_trim_front(a, 3) == MBUF_OK && mbuf_packet_trim_back(a, 1) == MBUF_OK);
	CHECK(mbuf_packet_trim_front(a, 12) == MBUF_ERROR_RANGE && is(a, "hello world"));
	CHECK(mbuf_packet_write(a, 6, "there", 5) == MBUF_OK && is(a, "hello there"));
	CHECK(mbuf_packet_write(a, 12, "x", 1) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_read(a, 10, text, 2) == MBUF_ERROR_RANGE && mbuf_packet_read(a, 0, NULL, 2) == MBUF_ERROR_ARGUMENT);
	CHECK(mbuf_packet_share(a, 6, 5, &b) == MBUF_OK && is(b, "there"));
	CHECK(mbuf_packet_share(a, 6, SIZE_MAX, &c) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_join(a, b) == MBUF_OK && is(a, "hello therethere"));
	CHECK(mbuf_packet_join(a, a) == MBUF_ERROR_ARGUMENT);
	CHECK(mbuf_packet_split(a, 5, &b) == MBUF_OK && is(a, "hello") && is(b, " therethere"));
	CHECK(mbuf_packet_split(a, 6, &c) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_duplicate(b, &c) == MBUF_OK && is(c, " therethere"));
	mbuf_packet_free(c);
	CHECK(mbuf_packet_contiguous(b, 3, 6, &bytes) == MBUF_OK && memcmp(bytes, "erethe", 6) == 0);
	CHECK(mbuf_packet_contiguous(b, 3, 60, &bytes) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_defragment(b) == MBUF_OK && mbuf_packet_pieces(b) == 1);
	CHECK(mbuf_packet_piece(b, 0, &bytes, &len) == MBUF_OK && len == 11);
	CHECK(mbuf_packet_piece(b, 1, &bytes, &len) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_checksum(a, 0, 5, &sum) == MBUF_OK);
	CHECK(mbuf_packet_checksum(a, 1, 5, &sum) == MBUF_ERROR_RANGE);
	CHECK(mbuf_packet_set_meta(a, MBUF_META_VLAN_TAG, 77) == MBUF_OK);
	CHECK(mbuf_packet_set_meta(a, MBUF_META_VLAN_TAG, 65536) == MBUF_ERROR_ARGUMENT);
	CHECK(mbuf_packet_set_meta(a, 99, 1) == MBUF_ERROR_ARGUMENT);
	CHECK(mbuf_packet_meta(a, MBUF_META_VLAN_TAG, &value) == MBUF_OK && value == 77);
	CHECK(mbuf_packet_set_meta(a, MBUF_META_FLAGS, 2) == MBUF_OK && mbuf_packet_meta(a, MBUF_META_FLAGS, &value) == MBUF_OK && value == 2);
	/* Not of the pool that mbuf.h uses. */
	CHECK(mbuf_packet_into_mbuf(a, &m) == MBUF_ERROR_ARGUMENT && is(a, "hello"));
	mbuf_packet_free(b);
	mbuf_packet_free(a);

	/* Memory that is lent. */
	CHECK(mbuf_packet_over(pool, memory, sizeof(memory), release, &released, &a) == MBUF_OK);
	CHECK(mbuf_packet_split(a, 1000, &b) == MBUF_OK && mbuf_packet_len(b) == 2000);
	mbuf_packet_free(a);
	CHECK(released == 0);
	mbuf_packet_free(b);
	CHECK(released == 1);

	/* Limits. */
	for (n = 0; mbuf_packet_create(pool, 2000, &many[n]) == MBUF_OK; n++)
		CHECK(n < 199);
	CHECK_INT(n, 32);
	CHECK(mbuf_packet_copy_of(pool, memory, 3000, &a) == MBUF_ERROR_NO_BUFFERS || (mbuf_packet_free(a), 1));
	for (i = 0; i < n; i++)
		mbuf_packet_free(many[i]);
	CHECK(mbuf_packet_create(pool, 20000, &a) == MBUF_ERROR_TOO_LONG);

	/* What is no handle. */
	CHECK(mbuf_packet_len(NULL) == 0 && mbuf_packet_append(NULL, "x", 1) == MBUF_ERROR_HANDLE);
	CHECK(mbuf_packet_append((mbuf_packet_t *)pool, "x", 1) == MBUF_ERROR_HANDLE);
	CHECK(mbuf_packet_create(NULL, 1, &a) == MBUF_ERROR_HANDLE && mbuf_packet_create(pool, 1, NULL) == MBUF_ERROR_ARGUMENT);
	mbuf_packet_free(NULL);
	mbuf_packet_free((mbuf_packet_t *)(void *)memory);
	CHECK(strlen(mbuf_error_text(MBUF_ERROR_RANGE)) > 0 && strlen(mbuf_error_text(-1)) > 0);

	/* To mbuf.h and back. */
	CHECK(mbuf_pool_default(&standard) == MBUF_OK);
	/* Not what is longer than an int. */
	huge = mmap(NULL, 1 + (size_t)INT_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(huge != MAP_FAILED);
	CHECK(mbuf_packet_over(standard, huge, 1 + (size_t)INT_MAX, NULL, NULL, &a) == MBUF_OK);
	CHECK(mbuf_packet_into_mbuf(a, &m) == MBUF_ERROR_ARGUMENT && mbuf_packet_len(a) == 1 + (size_t)INT_MAX);
	mbuf_packet_free(a);
	CHECK(munmap(huge, 1 + (size_t)INT_MAX) == 0);
	CHECK(mbuf_packet_copy_of(standard, "hello world", 11, &a) == MBUF_OK);
	CHECK(mbuf_packet_into_mbuf(a, &m) == MBUF_OK && m->m_pkthdr.len == 11 && (m->m_flags & M_PKTHDR));
	CHECK(memcmp(mtod(m, char *), "hello world", 11) == 0);
	m->m_next = m_gethdr(M_NOWAIT, MT_DATA);
	m->m_next->m_next = m_get(M_NOWAIT, MT_DATA);
	memcpy(mtod(m->m_next->m_next, char *), "!!", 2);
	m->m_next->m_next->m_len = 2;
	CHECK(mbuf_packet_from_mbuf(m, &a) == MBUF_OK && is(a, "hello world!!") && mbuf_packet_pieces(a) == 2);
	mbuf_packet_free(a);
	/* A link to another packet does not come along, nor stay in an mbuf that is free. */
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	m->m_nextpkt = m_gethdr(M_NOWAIT, MT_DATA);
	m_freem(m->m_nextpkt);
	CHECK(mbuf_packet_from_mbuf(m, &a) == MBUF_OK);
	mbuf_packet_free(a);
	m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	CHECK(m->m_nextpkt == NULL);
	m_freem(m);
	m = m_get(M_NOWAIT, MT_DATA);
	m->m_nextpkt = m;
	CHECK(mbuf_packet_from_mbuf(m, &a) == MBUF_ERROR_ARGUMENT && m->m_nextpkt == m);
	m->m_nextpkt = NULL;
	m_freem(m);
	CHECK(mbuf_pool_netstat(standard, text, sizeof(text)) > 0 && strncmp(text, "0/", 2) == 0);
	CHECK(mbuf_pool_netstat(pool, text, sizeof(text)) > 0 && strncmp(text, "0/", 2) == 0);
	mbuf_pool_free(standard);
	mbuf_pool_free(pool);
	return 0;
}
