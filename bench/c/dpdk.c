/* DPDK's mbufs: pools with a cache per lcore, 512 mbufs each, the most there can be. */
#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "bench.h"

#define CACHE RTE_MEMPOOL_CACHE_MAX_SIZE

static struct rte_mempool *clusters, *headers, *jumbos, *clones;
static struct rte_mbuf *cluster, *small, *jumbo, *four, *six;
static struct rte_mbuf *burst[BURST];
static _Alignas(64) uint8_t buffer[BESIDE];
static struct ring ring;
static struct end out, into;

static struct rte_mbuf *filled(struct rte_mempool *pool, size_t from, size_t len) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    must(m != NULL);
    char *bytes = rte_pktmbuf_append(m, len);
    must(bytes != NULL);
    memcpy(bytes, bench_pattern + from, len);
    return m;
}

static struct rte_mbuf *chained(size_t segments, size_t len) {
    struct rte_mbuf *head = filled(clusters, 0, len);
    for (size_t i = 1; i < segments; i++) must(rte_pktmbuf_chain(head, filled(clusters, i * len, len)) == 0);
    return head;
}

/* 2 MiB pages that are free. */
static long huge_pages(void) {
    long pages = 0;
    FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%ld", &pages) != 1) pages = 0;
    fclose(file);
    return pages;
}

static bool huge;

/* For the first thread or the second: 0 or 1. Null if it worked, or why it did not. */
const char *dpdk_open(int thread, int core) {
    static char lcore[16];
    if (thread == 1) return rte_thread_register() == 0 ? NULL : "rte_thread_register failed";
    snprintf(lcore, sizeof lcore, "%d", core);
    huge = huge_pages() >= 64 && getenv("BENCH_NO_HUGE") == NULL;
    /* Without huge pages, memory is not to be asked for in other ways. */
    char *arguments[] = { "bench", huge ? "--in-memory" : "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
                          "--log-level=error", "-l", lcore, "-m", huge ? "96" : "256", NULL };
    if (rte_eal_init(sizeof arguments / sizeof *arguments - 1, arguments) < 0) return "rte_eal_init failed";
    clusters = rte_pktmbuf_pool_create("clusters", 16383, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    headers = rte_pktmbuf_pool_create("headers", 4095, CACHE, 0, 256, SOCKET_ID_ANY);
    jumbos = rte_pktmbuf_pool_create("jumbos", 2047, CACHE, 0, RTE_PKTMBUF_HEADROOM + 9216, SOCKET_ID_ANY);
    clones = rte_pktmbuf_pool_create("clones", 4095, CACHE, 0, 0, SOCKET_ID_ANY);
    if (!clusters || !headers || !jumbos || !clones) return "no memory for the pools";
    cluster = filled(clusters, 0, 1500);
    small = filled(clusters, 0, 64);
    jumbo = filled(jumbos, 0, 9000);
    four = chained(4, 375);
    six = chained(6, 1500);
    return NULL;
}

const char *dpdk_note(void) { return huge ? "on 2 MiB pages" : "on 4 KiB pages (--no-huge)"; }

static void see(struct seen *seen, const struct rte_mbuf *m) {
    uint32_t len = 0;
    uint32_t packet = m->pkt_len;
    for (; m != NULL; m = m->next) {
        bench_part(seen, rte_pktmbuf_mtod(m, void *), m->data_len);
        len += m->data_len;
    }
    must(len == packet);
    bench_end(seen);
}

static void see_room(struct seen *seen, struct rte_mbuf *m) {
    must(m->pkt_len == 0);
    bench_room(seen, rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
}

inlined void alloc_from(struct rte_mempool *pool, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        must(m != NULL);
        keep(m);
        if (seen) see_room(seen, m);
        rte_pktmbuf_free(m);
    }
}

inlined void packet_of(uint64_t n, struct seen *seen) { alloc_from(clusters, n, seen); }
inlined void header_of(uint64_t n, struct seen *seen) { alloc_from(headers, n, seen); }
inlined void packet_9k_of(uint64_t n, struct seen *seen) { alloc_from(jumbos, n, seen); }

inlined void bulk_of(uint64_t n, struct seen *seen) {
    struct rte_mbuf *bulk[BULK];
    for (uint64_t i = 0; i < n / BULK; i++) {
        must(rte_pktmbuf_alloc_bulk(clusters, bulk, BULK) == 0);
        keep(bulk);
        if (seen)
            for (int j = 0; j < BULK; j++) see_room(seen, bulk[j]);
        rte_pktmbuf_free_bulk(bulk, BULK);
    }
}

/* The burst is the thread's own: two threads run this. */
inlined void singles(struct rte_mbuf **burst, uint64_t size, bool last_first, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n / size; i++) {
        for (uint64_t j = 0; j < size; j++) must((burst[j] = rte_pktmbuf_alloc(clusters)) != NULL);
        keep(burst);
        if (seen)
            for (uint64_t j = 0; j < size; j++) see_room(seen, burst[j]);
        if (last_first)
            for (uint64_t j = size; j-- > 0;) rte_pktmbuf_free(burst[j]);
        else
            for (uint64_t j = 0; j < size; j++) rte_pktmbuf_free(burst[j]);
    }
}

inlined void burst_32_of(uint64_t n, struct seen *seen) { singles(burst, BULK, false, n, seen); }
inlined void fifo_of(uint64_t n, struct seen *seen) { singles(burst, BURST, false, n, seen); }
inlined void lifo_of(uint64_t n, struct seen *seen) { singles(burst, BURST, true, n, seen); }

inlined void fill_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(clusters);
        must(m != NULL);
        char *bytes = rte_pktmbuf_append(m, 1500);
        must(bytes != NULL);
        memset(bytes, 0x5a, 1500);
        keep(m);
        if (seen) see(seen, m);
        rte_pktmbuf_free(m);
    }
}

inlined void share(struct rte_mbuf *m, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *clone = rte_pktmbuf_clone(m, clones);
        must(clone != NULL);
        keep(clone);
        if (seen) see(seen, clone);
        rte_pktmbuf_free(clone);
    }
}

inlined void share_one_of(uint64_t n, struct seen *seen) { share(cluster, n, seen); }
inlined void share_four_of(uint64_t n, struct seen *seen) { share(four, n, seen); }

inlined void share_range_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *clone = rte_pktmbuf_clone(cluster, clones);
        must(clone != NULL);
        must(rte_pktmbuf_adj(clone, 100) != NULL);
        must(rte_pktmbuf_trim(clone, 200) == 0);
        keep(clone);
        if (seen) see(seen, clone);
        rte_pktmbuf_free(clone);
    }
}

/* There is no split: the tail is a clone without the front, and the packet is trimmed. */
inlined void split_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(clusters);
        must(m != NULL);
        char *bytes = rte_pktmbuf_append(m, 1500);
        must(bytes != NULL);
        if (seen) memcpy(bytes, bench_pattern, 1500);
        struct rte_mbuf *tail = rte_pktmbuf_clone(m, clones);
        must(tail != NULL);
        must(rte_pktmbuf_adj(tail, 500) != NULL);
        must(rte_pktmbuf_trim(m, 1000) == 0);
        keep(m);
        keep(tail);
        if (seen) see(seen, m);
        if (seen) see(seen, tail);
        rte_pktmbuf_free(m);
        rte_pktmbuf_free(tail);
    }
}

inlined void prepend_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        char *room = rte_pktmbuf_prepend(cluster, 14);
        must(room != NULL);
        keep(room);
        if (seen) memset(room, 0x5a, 14);
        if (seen) see(seen, cluster);
        must(rte_pktmbuf_adj(cluster, 14) != NULL);
        keep(cluster);
        if (seen) see(seen, cluster);
    }
}

inlined void append_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        char *room = rte_pktmbuf_append(cluster, 64);
        must(room != NULL);
        keep(room);
        if (seen) memset(room, 0x5a, 64);
        if (seen) see(seen, cluster);
        must(rte_pktmbuf_trim(cluster, 64) == 0);
        keep(cluster);
        if (seen) see(seen, cluster);
    }
}

inlined struct rte_mbuf *part(size_t i, bool fill) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(clusters);
    must(m != NULL);
    char *bytes = rte_pktmbuf_append(m, 375);
    must(bytes != NULL);
    if (fill) memcpy(bytes, bench_pattern + i * 375, 375);
    return m;
}

inlined void four_parts(bool linearize, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *m = part(0, seen != NULL);
        for (size_t j = 1; j < 4; j++) must(rte_pktmbuf_chain(m, part(j, seen != NULL)) == 0);
        if (linearize) must(rte_pktmbuf_linearize(m) == 0);
        keep(m);
        if (seen) must(m->nb_segs == (linearize ? 1 : 4));
        if (seen) see(seen, m);
        rte_pktmbuf_free(m);
    }
}

inlined void build_of(uint64_t n, struct seen *seen) { four_parts(false, n, seen); }
inlined void linearize_of(uint64_t n, struct seen *seen) { four_parts(true, n, seen); }

inlined void view(struct rte_mbuf *m, uint32_t at, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        uint8_t copy[40];
        keep(m);
        const void *bytes = rte_pktmbuf_read(m, at, 40, copy);
        must(bytes != NULL);
        keep(bytes);
        if (seen) bench_part(seen, bytes, 40);
        if (seen) bench_end(seen);
    }
}

inlined void present_of(uint64_t n, struct seen *seen) { view(cluster, 100, n, seen); }
inlined void across_of(uint64_t n, struct seen *seen) { view(four, 355, n, seen); }

inlined void duplicate(struct rte_mbuf *m, struct rte_mempool *pool, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
        must(copy != NULL);
        keep(copy);
        if (seen) see(seen, copy);
        rte_pktmbuf_free(copy);
    }
}

inlined void duplicate_64_of(uint64_t n, struct seen *seen) { duplicate(small, clusters, n, seen); }
inlined void duplicate_1500_of(uint64_t n, struct seen *seen) { duplicate(cluster, clusters, n, seen); }
inlined void duplicate_six_of(uint64_t n, struct seen *seen) { duplicate(six, clusters, n, seen); }
inlined void duplicate_jumbo_of(uint64_t n, struct seen *seen) { duplicate(jumbo, jumbos, n, seen); }

/* `rte_pktmbuf_read` copies where it has to; from one segment, it is the caller who does. */
inlined void copy_out(struct rte_mbuf *m, uint32_t len, uint64_t n, struct seen *seen) {
    uint8_t *out = beside(buffer, rte_pktmbuf_mtod(m, void *));
    for (uint64_t i = 0; i < n; i++) {
        const void *bytes = rte_pktmbuf_read(m, 0, len, out);
        must(bytes != NULL);
        if (bytes != out) rte_memcpy(out, bytes, len);
        keep(out);
    }
    if (seen) bench_part(seen, out, len);
    if (seen) bench_end(seen);
}

inlined void copy_out_one_of(uint64_t n, struct seen *seen) { copy_out(cluster, 1500, n, seen); }
inlined void copy_out_six_of(uint64_t n, struct seen *seen) { copy_out(six, 9000, n, seen); }

inlined void copy_in_of(uint64_t n, struct seen *seen) {
    uint8_t *in = beside(buffer, rte_pktmbuf_mtod(cluster, void *));
    memcpy(in, bench_pattern, 1500);
    for (uint64_t i = 0; i < n; i++) {
        rte_memcpy(rte_pktmbuf_mtod(cluster, void *), in, 1500);
        keep(cluster);
    }
    if (seen) see(seen, cluster);
}

inlined void sum(struct rte_mbuf *m, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        uint16_t sum;
        keep(m);
        must(rte_raw_cksum_mbuf(m, 0, m->pkt_len, &sum) == 0);
        keep_number(sum);
        /* In the order of the bytes, as they are in memory. */
        if (seen) bench_part(seen, &sum, 2);
        if (seen) bench_end(seen);
    }
}

inlined void sum_64_of(uint64_t n, struct seen *seen) { sum(small, n, seen); }
inlined void sum_1500_of(uint64_t n, struct seen *seen) { sum(cluster, n, seen); }
inlined void sum_9000_of(uint64_t n, struct seen *seen) { sum(jumbo, n, seen); }

/* Segments of odd length: `rte_raw_cksum_mbuf` of DPDK 22.11 loses a carry there, so this is what one has to write. */
inlined void sum_four_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        uint32_t sum = 0, done = 0;
        keep(four);
        for (const struct rte_mbuf *m = four; m != NULL; m = m->next) {
            uint16_t part = rte_raw_cksum(rte_pktmbuf_mtod(m, const void *), m->data_len);
            sum += done & 1 ? rte_bswap16(part) : part;
            done += m->data_len;
        }
        uint16_t folded = __rte_raw_cksum_reduce(sum);
        keep_number(folded);
        if (seen) bench_part(seen, &folded, 2);
        if (seen) bench_end(seen);
    }
}

inlined void sum_six_of(uint64_t n, struct seen *seen) { sum(six, n, seen); }

static __thread struct rte_mbuf *own[BURST];
inlined void fifo_two_of(uint64_t n, struct seen *seen) { singles(own, BURST, false, n, seen); }

inlined void mark(struct rte_mbuf *m) { memset(rte_pktmbuf_append(m, 64), 7, 64); }

inlined void send_one_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(clusters);
        must(m != NULL);
        if (seen) mark(m);
        keep(m);
        ring_push(&ring, &out, (void **)&m, 1);
    }
}

inlined void receive_one_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        ring_wait(&ring, &into, 1);
        struct rte_mbuf *m = ring_take(&ring, &into);
        if (seen) see(seen, m);
        rte_pktmbuf_free(m);
        ring_popped(&ring, &into);
    }
}

inlined void send_32_of(uint64_t n, struct seen *seen) {
    struct rte_mbuf *bulk[BULK];
    for (uint64_t i = 0; i < n / BULK; i++) {
        must(rte_pktmbuf_alloc_bulk(clusters, bulk, BULK) == 0);
        if (seen)
            for (int j = 0; j < BULK; j++) mark(bulk[j]);
        keep(bulk);
        ring_push(&ring, &out, (void **)bulk, BULK);
    }
}

inlined void receive_32_of(uint64_t n, struct seen *seen) {
    struct rte_mbuf *bulk[BULK];
    for (uint64_t i = 0; i < n / BULK; i++) {
        ring_wait(&ring, &into, BULK);
        for (int j = 0; j < BULK; j++) bulk[j] = ring_take(&ring, &into);
        ring_popped(&ring, &into);
        if (seen)
            for (int j = 0; j < BULK; j++) see(seen, bulk[j]);
        rte_pktmbuf_free_bulk(bulk, BULK);
    }
}

ROW(packet, 1)
ROW(header, 1)
ROW(packet_9k, 1)
ROW(bulk, BULK)
ROW(burst_32, BULK)
ROW(fifo, BURST)
ROW(lifo, BURST)
ROW(fill, 1)
ROW(share_one, 1)
ROW(share_range, 1)
ROW(share_four, 1)
ROW(split, 1)
ROW(prepend, 1)
ROW(append, 1)
ROW(build, 1)
ROW(linearize, 1)
ROW(present, 1)
ROW(across, 1)
ROW(duplicate_64, 1)
ROW(duplicate_1500, 1)
ROW(duplicate_six, 1)
ROW(duplicate_jumbo, 1)
ROW(copy_out_one, 1)
ROW(copy_in, 1)
ROW(copy_out_six, 1)
ROW(sum_64, 1)
ROW(sum_1500, 1)
ROW(sum_9000, 1)
ROW(sum_four, 1)
ROW(sum_six, 1)
ROW(fifo_two, BURST)
SEND_ROW(send_one, receive_one, 1)
SEND_ROW(send_32, receive_32, BULK)

const struct cell dpdk_cells[] = {
    CELL("alloc+free packet with cluster", packet),
    CELL("alloc+free header mbuf", header),
    CELL("alloc+free packet with 9 KiB", packet_9k),
    CELL("bulk of 32", bulk),
    CELL("burst of 32 singles", burst_32),
    CELL("burst of 4096, first in first out", fifo),
    CELL("burst of 4096, last in first out", lifo),
    CELL("alloc, fill 1500 B, free", fill),
    CELL("share 1500 B + free", share_one),
    CELL("share a range + free", share_range),
    CELL("share 4 segments + free", share_four),
    CELL("split at 500 + free both", split),
    CELL("prepend 14 + trim", prepend),
    CELL("append 64 + trim", append),
    CELL("build 4 segments + free", build),
    CELL("build 4 segments, linearize + free", linearize),
    CELL("40 contiguous bytes, present", present),
    CELL("40 contiguous bytes, across a border", across),
    CELL("duplicate 64 B", duplicate_64),
    CELL("duplicate 1500 B", duplicate_1500),
    CELL("duplicate 9000 B of 6 segments", duplicate_six),
    CELL("duplicate 9000 B of 1 segment", duplicate_jumbo),
    CELL("copy out 1500 B", copy_out_one),
    CELL("copy in 1500 B", copy_in),
    CELL("copy out 9000 B of 6 segments", copy_out_six),
    CELL("checksum 64 B", sum_64),
    CELL("checksum 1500 B", sum_1500),
    CELL("checksum 9000 B", sum_9000),
    CELL("checksum 4 × 375 B", sum_four),
    CELL("checksum 6 × 1500 B", sum_six),
    PAIR("alloc+free, two threads", packet),
    PAIR("burst of 4096, two threads", fifo_two),
    SEND_CELL("allocate here, free there", send_one, receive_one),
    SEND_CELL("allocate 32 here, free there", send_32, receive_32),
    { NULL, NULL, NULL, NULL },
};
