/* Reads memory of an mbuf that was freed: in its cluster, or within it. */
#include <mbuf.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	int inside = argc > 1 && atoi(argv[1]) == 1;
	struct mbuf *m = inside ? m_get(M_NOWAIT, MT_DATA) : m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
	const volatile char *data;

	if (m == NULL)
		return 1;
	memcpy(m->m_data, "hello", 5);
	data = m->m_data;
	m_freem(m);
	printf("%d\n", data[3]); /* stale */
	return 0;
}
