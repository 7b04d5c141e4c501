/* usrsctp's mbufs: the BSDs' as they are used outside of a kernel. Debian's build has its memory from malloc.
 *
 * The library exports the functions, but no header: here is what its own header says, as far as it is used. */
#include "bench.h"

struct ext {
    char *ext_buf;
    void (*free)(void *, void *);
    void *args;
    unsigned ext_size;
    volatile unsigned *ref_cnt;
    int type;
};

struct mbuf {
    struct mbuf *m_next;
    struct mbuf *m_nextpkt;
    char *m_data;
    int m_len;
    int m_flags;
    short m_type;
    uint8_t pad[6];
    struct {
        void *rcvif;
        void *header;
        int len;
        int csum_flags;
        int csum_data;
        uint16_t tso_segsz;
        uint16_t ether_vtag;
        void *tags;
    } m_pkthdr;
    union {
        struct ext m_ext;
        char databuf[176];
    };
};

_Static_assert(sizeof(struct mbuf) == 256, "MSIZE");

enum { M_EXT = 1, M_PKTHDR = 2, M_RDONLY = 8 };
enum { M_NOWAIT = 1, MT_DATA = 1, M_COPYALL = 1000000000 };

void mbuf_initialize(void *unused);
struct mbuf *m_get(int how, short type);
struct mbuf *m_gethdr(int how, short type);
void m_clget(struct mbuf *m, int how);
struct mbuf *m_free(struct mbuf *m);
void m_freem(struct mbuf *m);
struct mbuf *m_copym(struct mbuf *m, int off, int len, int wait);
struct mbuf *m_split(struct mbuf *m, int at, int wait);
struct mbuf *m_prepend(struct mbuf *m, int len, int how);
struct mbuf *m_pullup(struct mbuf *m, int len);
void m_adj(struct mbuf *m, int len);
void m_cat(struct mbuf *m, struct mbuf *n);
void m_copydata(const struct mbuf *m, int off, int len, char *to);
void m_copyback(struct mbuf *m, int off, int len, char *from);

/* M_PREPEND. */
inlined struct mbuf *prepended(struct mbuf *m, int len) {
    bool writable = !(m->m_flags & M_RDONLY) && (!(m->m_flags & M_EXT) || *m->m_ext.ref_cnt == 1);
    long space = !(m->m_flags & M_EXT) ? m->m_data - m->databuf : writable ? m->m_data - m->m_ext.ext_buf : 0;
    if (space >= len) {
        m->m_data -= len;
        m->m_len += len;
    } else
        m = m_prepend(m, len, M_NOWAIT);
    if (m != NULL && m->m_flags & M_PKTHDR) m->m_pkthdr.len += len;
    return m;
}

/* m_getcl. */
inlined struct mbuf *get_cluster(void) {
    struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
    must(m != NULL);
    m_clget(m, M_NOWAIT);
    must(m->m_flags & M_EXT);
    return m;
}

#define HEADER_ROOM sizeof ((struct mbuf *)NULL)->databuf
#define CELLS usrsctp_mbuf_cells
#include "mbufs.h"

const char *usrsctp_mbuf_open(int thread, int core) {
    (void)core;
    if (thread == 1) return NULL;
    mbuf_initialize(NULL);
    open_mbufs();
    return NULL;
}

const char *usrsctp_mbuf_note(void) { return "memory by glibc's malloc"; }
