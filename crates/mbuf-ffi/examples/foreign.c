/*
 * Memory of one's own in packets: the buffers of a ring go out as mbufs, and each comes back when the last packet that shows
 * its bytes is freed, wherever that is.
 *
 *     cc foreign.c $(pkg-config --cflags --libs mbuf) -lpthread -o foreign
 */
#include <mbuf.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define SLOTS 4

static struct slot {
	atomic_int out;
	char bytes[4096];
} ring[SLOTS];

/* On whatever thread lets go last. Of the mbuf, only m_ext is there. */
static void come_back(struct mbuf *m)
{
	struct slot *slot = m->m_ext.ext_arg1;
	atomic_store(&slot->out, 0);
}

/* A packet of the first `len` bytes of a slot that is in. */
static struct mbuf *send_slot(int len)
{
	struct slot *slot;
	for (slot = ring; slot < ring + SLOTS; slot++) {
		int in = 0;
		if (atomic_compare_exchange_strong(&slot->out, &in, 1)) {
			struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
			if (m != NULL)
				m_extadd(m, slot->bytes, sizeof(slot->bytes), come_back, slot, NULL, 0, EXT_NET_DRV);
			if (m == NULL || !(m->m_flags & M_EXT)) {
				m_freem(m);
				atomic_store(&slot->out, 0);
				return NULL;
			}
			m->m_len = m->m_pkthdr.len = len;
			return m;
		}
	}
	return NULL;
}

static int are_out(void)
{
	int i, n = 0;
	for (i = 0; i < SLOTS; i++)
		n += atomic_load(&ring[i].out);
	return n;
}

static void *consume(void *m)
{
	m_freem(m);
	return NULL;
}

int main(void)
{
	struct mbuf *m = send_slot(1500), *copy, *part;
	pthread_t other;

	if (m == NULL || (copy = m_copypacket(m, M_NOWAIT)) == NULL || (part = m_copym(m, 100, 50, M_NOWAIT)) == NULL)
		return 1;
	printf("sent: %d out, bytes shared: %s\n", are_out(), mtod(part, char *) == mtod(m, char *) + 100 ? "yes" : "no");
	m_freem(m);
	m_freem(part);
	printf("two of three freed: %d out\n", are_out());
	if (pthread_create(&other, NULL, consume, copy) != 0 || pthread_join(other, NULL) != 0)
		return 1;
	printf("the last freed, on another thread: %d out\n", are_out());
	return 0;
}
