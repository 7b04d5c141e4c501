/* usrsctp's mbufs: the BSDs' as they are used outside of a kernel. Debian's build has its memory from malloc.
 *
 * The library exports the functions, but no header: here is what its own header says, as far as it is used. */
#include "bench.h"

struct ext {
    char *buf;
    void (*free)(void *, void *);
    void *args;
    unsigned size;
    volatile unsigned *ref_cnt;
    int type;
};

struct mbuf {
    struct mbuf *next;
    struct mbuf *nextpkt;
    char *data;
    int len;
    int flags;
    short type;
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
    } pkthdr;
    union {
        struct ext ext;
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
    bool writable = !(m->flags & M_RDONLY) && (!(m->flags & M_EXT) || *m->ext.ref_cnt == 1);
    long space = !(m->flags & M_EXT) ? m->data - m->databuf : writable ? m->data - m->ext.buf : 0;
    if (space >= len) {
        m->data -= len;
        m->len += len;
    } else
        m = m_prepend(m, len, M_NOWAIT);
    if (m != NULL && m->flags & M_PKTHDR) m->pkthdr.len += len;
    return m;
}

static struct mbuf *cluster, *four, *six;
static __thread struct mbuf *burst[BURST];
static _Alignas(64) uint8_t buffer[BESIDE];
static struct ring ring;
static struct end out, into;

/* m_getcl. */
inlined struct mbuf *get_cluster(void) {
    struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
    must(m != NULL);
    m_clget(m, M_NOWAIT);
    must(m->flags & M_EXT);
    return m;
}

inlined struct mbuf *sized(size_t from, int len, bool fill) {
    struct mbuf *m = get_cluster();
    m->len = m->pkthdr.len = len;
    if (fill) memcpy(m->data, bench_pattern + from, len);
    return m;
}

/* m_catpkt. */
inlined void cat_packet(struct mbuf *m, struct mbuf *n) {
    m->pkthdr.len += n->pkthdr.len;
    n->flags &= ~M_PKTHDR;
    m_cat(m, n);
}

static struct mbuf *chained(size_t segments, int len) {
    struct mbuf *m = sized(0, len, true);
    for (size_t i = 1; i < segments; i++) cat_packet(m, sized(i * len, len, true));
    return m;
}

const char *usrsctp_mbuf_open(int thread, int core) {
    (void)core;
    if (thread == 1) return NULL;
    mbuf_initialize(NULL);
    cluster = sized(0, 1500, true);
    /* Room for a header: 64 bytes, as elsewhere. */
    memmove(cluster->data + 64, cluster->data, 1500);
    cluster->data += 64;
    four = chained(4, 375);
    six = chained(6, 1500);
    return NULL;
}

const char *usrsctp_mbuf_note(void) { return "memory by glibc's malloc"; }

static void see(struct seen *seen, const struct mbuf *m) {
    int len = 0;
    int packet = m->pkthdr.len;
    for (; m != NULL; m = m->next) {
        bench_part(seen, m->data, m->len);
        len += m->len;
    }
    must(len == packet);
    bench_end(seen);
}

static void see_room(struct seen *seen, struct mbuf *m) {
    must(m->len == 0);
    bench_room(seen, m->data, m->flags & M_EXT ? m->ext.size : sizeof m->databuf);
}

inlined void packet_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = get_cluster();
        keep(m);
        if (seen) see_room(seen, m);
        m_freem(m);
    }
}

inlined void header_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
        must(m != NULL);
        keep(m);
        if (seen) see_room(seen, m);
        m_freem(m);
    }
}

inlined void singles(uint64_t size, bool last_first, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n / size; i++) {
        for (uint64_t j = 0; j < size; j++) burst[j] = get_cluster();
        keep(burst);
        if (seen)
            for (uint64_t j = 0; j < size; j++) see_room(seen, burst[j]);
        if (last_first)
            for (uint64_t j = size; j-- > 0;) m_freem(burst[j]);
        else
            for (uint64_t j = 0; j < size; j++) m_freem(burst[j]);
    }
}

inlined void burst_32_of(uint64_t n, struct seen *seen) { singles(BULK, false, n, seen); }
inlined void fifo_of(uint64_t n, struct seen *seen) { singles(BURST, false, n, seen); }
inlined void lifo_of(uint64_t n, struct seen *seen) { singles(BURST, true, n, seen); }

inlined void fill_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = get_cluster();
        m->len = m->pkthdr.len = 1500;
        memset(m->data, 0x5a, 1500);
        keep(m);
        if (seen) see(seen, m);
        m_freem(m);
    }
}

inlined void share(struct mbuf *m, int at, int len, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *copy = m_copym(m, at, len, M_NOWAIT);
        must(copy != NULL);
        keep(copy);
        /* A part has no packet header. */
        if (seen && at > 0) copy->pkthdr.len = len;
        if (seen) see(seen, copy);
        m_freem(copy);
    }
}

inlined void share_one_of(uint64_t n, struct seen *seen) { share(cluster, 0, M_COPYALL, n, seen); }
inlined void share_range_of(uint64_t n, struct seen *seen) { share(cluster, 100, 1200, n, seen); }
inlined void share_four_of(uint64_t n, struct seen *seen) { share(four, 0, M_COPYALL, n, seen); }

inlined void split_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = sized(0, 1500, seen != NULL);
        struct mbuf *tail = m_split(m, 500, M_NOWAIT);
        must(tail != NULL);
        keep(m);
        keep(tail);
        if (seen) see(seen, m);
        if (seen) see(seen, tail);
        m_freem(m);
        m_freem(tail);
    }
}

inlined void prepend_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = prepended(cluster, 14);
        must(m == cluster);
        keep(m->data);
        if (seen) memset(m->data, 0x5a, 14);
        if (seen) see(seen, m);
        m_adj(m, 14);
        keep(m);
        if (seen) see(seen, m);
    }
}

inlined void prepend_beyond_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = prepended(sized(0, 1000, seen != NULL), 20);
        must(m != NULL);
        keep(m->data);
        if (seen) memset(m->data, 0x5a, 20);
        if (seen) must(m->next != NULL && m->next->next == NULL);
        if (seen) see(seen, m);
        m_freem(m);
    }
}

inlined void pullup_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
        must(m != NULL);
        m->len = m->pkthdr.len = 20;
        if (seen) memcpy(m->data, bench_pattern, 20);
        struct mbuf *rest = m_get(M_NOWAIT, MT_DATA);
        must(rest != NULL);
        m_clget(rest, M_NOWAIT);
        must(rest->flags & M_EXT);
        rest->len = 1000;
        if (seen) memcpy(rest->data, bench_pattern + 20, 1000);
        m->next = rest;
        m->pkthdr.len += 1000;
        m = m_pullup(m, 40);
        must(m != NULL);
        keep(m->data);
        if (seen) see(seen, m);
        if (seen) bench_part(seen, m->data, 40);
        if (seen) bench_end(seen);
        m_freem(m);
    }
}

inlined void build_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = sized(0, 375, seen != NULL);
        for (size_t j = 1; j < 4; j++) cat_packet(m, sized(j * 375, 375, seen != NULL));
        keep(m);
        if (seen) see(seen, m);
        m_freem(m);
    }
}

/* Copied always: there is no call that copies only if it must. */
inlined void view(struct mbuf *m, int at, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        char copy[40];
        keep(m);
        m_copydata(m, at, 40, copy);
        keep(copy);
        if (seen) bench_part(seen, copy, 40);
        if (seen) bench_end(seen);
    }
}

inlined void present_of(uint64_t n, struct seen *seen) { view(cluster, 100, n, seen); }
inlined void across_of(uint64_t n, struct seen *seen) { view(four, 355, n, seen); }

inlined void copy_out(struct mbuf *m, int len, uint64_t n, struct seen *seen) {
    uint8_t *out = beside(buffer, m->data);
    for (uint64_t i = 0; i < n; i++) {
        m_copydata(m, 0, len, (char *)out);
        keep(out);
    }
    if (seen) bench_part(seen, out, len);
    if (seen) bench_end(seen);
}

inlined void copy_out_one_of(uint64_t n, struct seen *seen) { copy_out(cluster, 1500, n, seen); }
inlined void copy_out_six_of(uint64_t n, struct seen *seen) { copy_out(six, 9000, n, seen); }

inlined void copy_in_of(uint64_t n, struct seen *seen) {
    uint8_t *in = beside(buffer, cluster->data);
    memcpy(in, bench_pattern, 1500);
    for (uint64_t i = 0; i < n; i++) {
        m_copyback(cluster, 0, 1500, (char *)in);
        keep(cluster);
    }
    if (seen) see(seen, cluster);
}

inlined struct mbuf *fresh(bool fill) {
    struct mbuf *m = get_cluster();
    if (fill) memset(m->data, 7, m->len = m->pkthdr.len = 64);
    keep(m);
    return m;
}

inlined void send_many(uint64_t size, uint64_t n, struct seen *seen) {
    struct mbuf *some[BULK];
    for (uint64_t i = 0; i < n / size; i++) {
        for (uint64_t j = 0; j < size; j++) some[j] = fresh(seen != NULL);
        ring_push(&ring, &out, (void **)some, size);
    }
}

inlined void receive_many(uint64_t size, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n / size; i++) {
        ring_wait(&ring, &into, size);
        for (uint64_t j = 0; j < size; j++) {
            struct mbuf *m = ring_take(&ring, &into);
            if (seen) see(seen, m);
            m_freem(m);
        }
        ring_popped(&ring, &into);
    }
}

inlined void send_one_of(uint64_t n, struct seen *seen) { send_many(1, n, seen); }
inlined void receive_one_of(uint64_t n, struct seen *seen) { receive_many(1, n, seen); }
inlined void send_32_of(uint64_t n, struct seen *seen) { send_many(BULK, n, seen); }
inlined void receive_32_of(uint64_t n, struct seen *seen) { receive_many(BULK, n, seen); }

ROW(packet, 1)
ROW(header, 1)
ROW(burst_32, BULK)
ROW(fifo, BURST)
ROW(lifo, BURST)
ROW(fill, 1)
ROW(share_one, 1)
ROW(share_range, 1)
ROW(share_four, 1)
ROW(split, 1)
ROW(prepend, 1)
ROW(prepend_beyond, 1)
ROW(pullup, 1)
ROW(build, 1)
ROW(present, 1)
ROW(across, 1)
ROW(copy_out_one, 1)
ROW(copy_out_six, 1)
ROW(copy_in, 1)
SEND_ROW(send_one, receive_one, 1)
SEND_ROW(send_32, receive_32, BULK)

const struct cell usrsctp_mbuf_cells[] = {
    CELL("alloc+free packet with cluster", packet),
    CELL("alloc+free header mbuf", header),
    CELL("bulk of 32", burst_32),
    CELL("burst of 32 singles", burst_32),
    CELL("burst of 4096, first in first out", fifo),
    CELL("burst of 4096, last in first out", lifo),
    CELL("alloc, fill 1500 B, free", fill),
    CELL("share 1500 B + free", share_one),
    CELL("share a range + free", share_range),
    CELL("share 4 segments + free", share_four),
    CELL("split at 500 + free both", split),
    CELL("prepend 14 + trim", prepend),
    CELL("prepend 20 beyond headroom", prepend_beyond),
    CELL("pullup 40 over two mbufs", pullup),
    CELL("build 4 segments + free", build),
    CELL("40 contiguous bytes, present", present),
    CELL("40 contiguous bytes, across a border", across),
    CELL("copy out 1500 B", copy_out_one),
    CELL("copy in 1500 B", copy_in),
    CELL("copy out 9000 B of 6 segments", copy_out_six),
    PAIR("alloc+free, two threads", packet),
    PAIR("burst of 4096, two threads", fifo),
    SEND_CELL("allocate here, free there", send_one, receive_one),
    SEND_CELL("allocate 32 here, free there", send_32, receive_32),
    { NULL, NULL, NULL, NULL },
};
