/* lwIP's pbufs, as Debian builds the library: memory from malloc or from its pools as its options say. */
#include <lwip/init.h>
#include <lwip/pbuf.h>

#include "bench.h"

static struct pbuf *cluster, *four;
static _Alignas(64) uint8_t buffer[BESIDE];

static struct pbuf *filled(size_t from, uint16_t len) {
    struct pbuf *p = pbuf_alloc(PBUF_LINK, len, PBUF_RAM);
    must(p != NULL);
    memcpy(p->payload, bench_pattern + from, len);
    return p;
}

const char *lwip_pbuf_open(int thread, int core) {
    (void)core;
    if (thread == 1) return NULL;
    lwip_init();
    cluster = filled(0, 1500);
    four = filled(0, 375);
    for (size_t i = 1; i < 4; i++) pbuf_cat(four, filled(i * 375, 375));
    return NULL;
}

const char *lwip_pbuf_note(void) { return "PBUF_RAM"; }

static void see(struct seen *seen, const struct pbuf *p) {
    for (; p != NULL; p = p->next) bench_part(seen, p->payload, p->len);
    bench_end(seen);
}

inlined void sized(uint16_t len, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct pbuf *p = pbuf_alloc(PBUF_LINK, len, PBUF_RAM);
        must(p != NULL);
        keep(p);
        if (seen) bench_room(seen, p->payload, p->len);
        pbuf_free(p);
    }
}

inlined void packet_of(uint64_t n, struct seen *seen) { sized(2048, n, seen); }
inlined void header_of(uint64_t n, struct seen *seen) { sized(104, n, seen); }

inlined void fill_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct pbuf *p = pbuf_alloc(PBUF_LINK, 1500, PBUF_RAM);
        must(p != NULL);
        memset(p->payload, 0x5a, 1500);
        keep(p);
        if (seen) see(seen, p);
        pbuf_free(p);
    }
}

/* A reference to the same pbuf, not a packet of its own. */
inlined void share(struct pbuf *p, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        pbuf_ref(p);
        keep(p);
        if (seen) see(seen, p);
        pbuf_free(p);
    }
}

inlined void share_one_of(uint64_t n, struct seen *seen) { share(cluster, n, seen); }
inlined void share_four_of(uint64_t n, struct seen *seen) { share(four, n, seen); }

inlined void prepend_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        must(pbuf_add_header(cluster, 14) == 0);
        keep(cluster->payload);
        if (seen) memset(cluster->payload, 0x5a, 14);
        if (seen) see(seen, cluster);
        must(pbuf_remove_header(cluster, 14) == 0);
        keep(cluster);
        if (seen) see(seen, cluster);
    }
}

inlined void build_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct pbuf *p = NULL;
        for (size_t j = 0; j < 4; j++) {
            struct pbuf *part = pbuf_alloc(PBUF_LINK, 375, PBUF_RAM);
            must(part != NULL);
            if (seen) memcpy(part->payload, bench_pattern + j * 375, 375);
            if (p == NULL)
                p = part;
            else
                pbuf_cat(p, part);
        }
        keep(p);
        if (seen) see(seen, p);
        pbuf_free(p);
    }
}

inlined void view(struct pbuf *p, uint16_t at, uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        uint8_t copy[40];
        keep(p);
        const void *bytes = pbuf_get_contiguous(p, copy, sizeof copy, 40, at);
        must(bytes != NULL);
        keep(bytes);
        if (seen) bench_part(seen, bytes, 40);
        if (seen) bench_end(seen);
    }
}

inlined void present_of(uint64_t n, struct seen *seen) { view(cluster, 100, n, seen); }
inlined void across_of(uint64_t n, struct seen *seen) { view(four, 355, n, seen); }

inlined void duplicate_1500_of(uint64_t n, struct seen *seen) {
    for (uint64_t i = 0; i < n; i++) {
        struct pbuf *copy = pbuf_clone(PBUF_LINK, PBUF_RAM, cluster);
        must(copy != NULL);
        keep(copy);
        if (seen) see(seen, copy);
        pbuf_free(copy);
    }
}

inlined void copy_out_of(uint64_t n, struct seen *seen) {
    uint8_t *out = beside(buffer, cluster->payload);
    for (uint64_t i = 0; i < n; i++) {
        must(pbuf_copy_partial(cluster, out, 1500, 0) == 1500);
        keep(out);
    }
    if (seen) bench_part(seen, out, 1500);
    if (seen) bench_end(seen);
}

inlined void copy_in_of(uint64_t n, struct seen *seen) {
    uint8_t *in = beside(buffer, cluster->payload);
    memcpy(in, bench_pattern, 1500);
    for (uint64_t i = 0; i < n; i++) {
        must(pbuf_take(cluster, in, 1500) == ERR_OK);
        keep(cluster);
    }
    if (seen) see(seen, cluster);
}

ROW(packet, 1)
ROW(header, 1)
ROW(fill, 1)
ROW(share_one, 1)
ROW(share_four, 1)
ROW(prepend, 1)
ROW(build, 1)
ROW(present, 1)
ROW(across, 1)
ROW(duplicate_1500, 1)
ROW(copy_out, 1)
ROW(copy_in, 1)

const struct cell lwip_pbuf_cells[] = {
    CELL("alloc+free packet with cluster", packet),
    CELL("alloc+free header mbuf", header),
    CELL("alloc, fill 1500 B, free", fill),
    CELL("share 1500 B + free", share_one),
    CELL("share 4 segments + free", share_four),
    CELL("prepend 14 + trim", prepend),
    CELL("build 4 segments + free", build),
    CELL("40 contiguous bytes, present", present),
    CELL("40 contiguous bytes, across a border", across),
    CELL("duplicate 1500 B", duplicate_1500),
    CELL("copy out 1500 B", copy_out),
    CELL("copy in 1500 B", copy_in),
    { NULL, NULL, NULL, NULL },
};
