/* The rows of the columns that have the BSDs' mbufs, in their names. Who includes this has said what `struct mbuf` and its
 * functions are, `get_cluster()`, `prepended()`, HEADER_ROOM, and the name of the CELLS. */
static struct mbuf *cluster, *four, *six;
static __thread struct mbuf *burst[BURST];
static _Alignas(64) uint8_t buffer[BESIDE];
static struct ring ring;
static struct end out, into;

inlined struct mbuf *sized(size_t from, int len, bool fill) {
    struct mbuf *m = get_cluster();
    m->m_len = m->m_pkthdr.len = len;
    if (fill) memcpy(m->m_data, bench_pattern + from, len);
    return m;
}

/* m_catpkt. */
inlined void cat_packet(struct mbuf *m, struct mbuf *n) {
    m->m_pkthdr.len += n->m_pkthdr.len;
    n->m_flags &= ~M_PKTHDR;
    m_cat(m, n);
}

static struct mbuf *chained(size_t segments, int len) {
    struct mbuf *m = sized(0, len, true);
    for (size_t i = 1; i < segments; i++) cat_packet(m, sized(i * len, len, true));
    return m;
}

/* What the rows need. */
static void open_mbufs(void) {
    cluster = sized(0, 1500, true);
    /* Room for a header: 64 bytes, as elsewhere. */
    memmove(cluster->m_data + 64, cluster->m_data, 1500);
    cluster->m_data += 64;
    four = chained(4, 375);
    six = chained(6, 1500);
}

static void see(struct seen *seen, const struct mbuf *m) {
    int len = 0;
    int packet = m->m_pkthdr.len;
    for (; m != NULL; m = m->m_next) {
        bench_part(seen, m->m_data, m->m_len);
        len += m->m_len;
    }
    must(len == packet);
    bench_end(seen);
}

static void see_room(struct seen *seen, struct mbuf *m) {
    must(m->m_len == 0);
    bench_room(seen, m->m_data, m->m_flags & M_EXT ? m->m_ext.ext_size : HEADER_ROOM);
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
        m->m_len = m->m_pkthdr.len = 1500;
        memset(m->m_data, 0x5a, 1500);
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
        if (seen && at > 0) copy->m_pkthdr.len = len;
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
        keep(m->m_data);
        if (seen) memset(m->m_data, 0x5a, 14);
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
        keep(m->m_data);
        if (seen) memset(m->m_data, 0x5a, 20);
        if (seen) must(m->m_next != NULL && m->m_next->m_next == NULL);
        if (seen) see(seen, m);
        m_freem(m);
    }
}

inlined void pullup_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct mbuf *m = m_gethdr(M_NOWAIT, MT_DATA);
        must(m != NULL);
        m->m_len = m->m_pkthdr.len = 20;
        if (seen) memcpy(m->m_data, bench_pattern, 20);
        struct mbuf *rest = m_get(M_NOWAIT, MT_DATA);
        must(rest != NULL);
        m_clget(rest, M_NOWAIT);
        must(rest->m_flags & M_EXT);
        rest->m_len = 1000;
        if (seen) memcpy(rest->m_data, bench_pattern + 20, 1000);
        m->m_next = rest;
        m->m_pkthdr.len += 1000;
        m = m_pullup(m, 40);
        must(m != NULL);
        keep(m->m_data);
        if (seen) see(seen, m);
        if (seen) bench_part(seen, m->m_data, 40);
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
    uint8_t *out = beside(buffer, m->m_data);
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
    uint8_t *in = beside(buffer, cluster->m_data);
    memcpy(in, bench_pattern, 1500);
    for (uint64_t i = 0; i < n; i++) {
        m_copyback(cluster, 0, 1500, (char *)in);
        keep(cluster);
    }
    if (seen) see(seen, cluster);
}

inlined struct mbuf *fresh(bool fill) {
    struct mbuf *m = get_cluster();
    if (fill) memset(m->m_data, 7, m->m_len = m->m_pkthdr.len = 64);
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

const struct cell CELLS[] = {
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
