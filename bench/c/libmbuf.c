/* This library, as C has it: every call goes into libmbuf.so, and every chain is checked. */
#include "bench.h"

#include <mbuf.h>

inlined struct mbuf *get_cluster(void) {
    struct mbuf *m = m_getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
    must(m != NULL);
    return m;
}

inlined struct mbuf *prepended(struct mbuf *m, int len) {
    M_PREPEND(m, len, M_NOWAIT);
    return m;
}

#define HEADER_ROOM MHLEN
#define CELLS libmbuf_cells
#include "mbufs.h"

const char *libmbuf_open(int thread, int core) {
    (void)core;
    if (thread == 0) open_mbufs();
    return NULL;
}

const char *libmbuf_note(void) { return "by libmbuf.so"; }
