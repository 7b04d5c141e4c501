/* What the columns in C have in common: as src/column.rs has it for those in Rust. */
#pragma once
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What came out of a round, in Rust (src/seen.rs). */
struct seen;
void bench_part(struct seen *seen, const void *bytes, size_t len);
void bench_end(struct seen *seen);
void bench_room(struct seen *seen, void *room, size_t len);

extern const uint8_t bench_pattern[9216];

/* How a column does a row. The list ends with a cell without a row. */
struct cell {
    const char *row;
    void (*run)(uint64_t n);
    void (*see)(struct seen *seen);
    /* What the second thread does meanwhile, or none. */
    void (*second)(uint64_t n);
};

#define BULK 32
#define BURST 4096
#define inlined static inline __attribute__((always_inline))

/* A loop has all that it calls inlined, as far as there is source: as it is in a program with one such loop, where the
 * compiler does so by itself. */
#define timed static __attribute__((flatten)) void

/* A row is `name_of(n, seen)`, written once and compiled twice: with `seen` a null constant, and with it. */
#define ROW(name, unit)                                                      \
    timed name(uint64_t n) { name##_of(n, NULL); }                           \
    static void name##_see(struct seen *seen) { name##_of(unit, seen); }

/* One thread sends, the other receives; looked at one after the other. */
#define SEND_ROW(send, receive, unit)                                        \
    timed send(uint64_t n) { send##_of(n, NULL); }                           \
    timed receive(uint64_t n) { receive##_of(n, NULL); }                     \
    static void send##_see(struct seen *seen) {                              \
        send##_of(unit, seen);                                               \
        receive##_of(unit, seen);                                            \
    }

#define CELL(row, name) { row, name, name##_see, NULL }
#define PAIR(row, name) { row, name, name##_see, name }
#define SEND_CELL(row, send, receive) { row, send, send##_see, receive }

/* The compiler has to assume that somebody looked at what is behind the pointer. No instruction. */
inlined void keep(const void *pointer) { __asm__ volatile("" : : "r"(pointer) : "memory"); }
inlined void keep_number(uint64_t number) { __asm__ volatile("" : : "r"(number) : "memory"); }

/* As `Flat::beside`: where to copy to, or from, within a buffer of BESIDE bytes. */
#define BESIDE (9216 + 4096)
inlined uint8_t *beside(uint8_t *buffer, const void *other) {
    static unsigned turn;
    uintptr_t away = 2048 - 512 + ++turn % 8 * 256;
    return buffer + (((uintptr_t)other + away - (uintptr_t)buffer) & 4095);
}

inlined void must(bool true_) {
    if (__builtin_expect(!true_, 0)) abort();
}

/* The ring between two threads: as src/ring.rs. */
#define SLOTS 1024
struct ring {
    _Alignas(128) _Atomic size_t head;
    _Alignas(128) _Atomic size_t tail;
    _Alignas(128) void *slots[SLOTS];
};

/* What a thread knows of the ring. */
struct end {
    size_t head, tail;
};

inlined void ring_push(struct ring *ring, struct end *end, void **values, size_t n) {
    while (end->head + n - end->tail > SLOTS) {
        end->tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (end->head + n - end->tail > SLOTS) __builtin_ia32_pause();
    }
    for (size_t i = 0; i < n; i++) ring->slots[end->head++ % SLOTS] = values[i];
    atomic_store_explicit(&ring->head, end->head, memory_order_release);
}

/* Pops `n`; their slots are free after `ring_popped`. */
inlined void ring_wait(struct ring *ring, struct end *end, size_t n) {
    while (end->head - end->tail < n) {
        end->head = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (end->head - end->tail < n) __builtin_ia32_pause();
    }
}
inlined void *ring_take(struct ring *ring, struct end *end) { return ring->slots[end->tail++ % SLOTS]; }
inlined void ring_popped(struct ring *ring, struct end *end) {
    atomic_store_explicit(&ring->tail, end->tail, memory_order_release);
}
