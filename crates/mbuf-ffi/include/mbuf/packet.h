/*
 * mbuf/packet.h - packets and pools behind handles: no field to read or write, errors as codes, nothing lost when one fails.
 *
 * For other languages, and for code that wants every access checked. Sizes of structures are not part of it: a program works
 * with later libraries of the same name (libmbuf.so.0). A handle is used by one thread at a time.
 */
#ifndef MBUF_PACKET_H
#define MBUF_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mbuf_pool mbuf_pool_t;
typedef struct mbuf_packet mbuf_packet_t;

/* What functions return. A failed one has changed nothing. */
#define MBUF_OK 0
#define MBUF_ERROR_HANDLE 1      /* no handle, or that of something freed */
#define MBUF_ERROR_NO_BUFFERS 2  /* a limit, or memory */
#define MBUF_ERROR_RANGE 3       /* beyond the end */
#define MBUF_ERROR_TOO_LONG 4    /* more than a buffer or a packet holds */
#define MBUF_ERROR_ARGUMENT 5    /* a null pointer, or a number that means nothing */
#define MBUF_ERROR_NAME 6        /* no setting of that name, or no such value */
#define MBUF_ERROR_OTHER 7
const char *mbuf_error_text(int error);

/* A pool with limits of its own; settings by name, as kern.ipc.nmbclusters. Buffers may outlive it. */
int mbuf_pool_create(const char *name, const char *const *names, const char *const *values, size_t count, mbuf_pool_t **pool);
/* Another handle of the pool that the functions of mbuf.h use. */
int mbuf_pool_default(mbuf_pool_t **pool);
void mbuf_pool_free(mbuf_pool_t *pool);
/* As text, as snprintf() would: the length, or -1. */
ssize_t mbuf_pool_get(mbuf_pool_t *pool, const char *name, char *text, size_t size);
int mbuf_pool_set(mbuf_pool_t *pool, const char *name, const char *value);
ssize_t mbuf_pool_netstat(mbuf_pool_t *pool, char *text, size_t size);

/* Packets: empty with room for so many contiguous bytes, with bytes, or over memory that is lent until release(arg). */
int mbuf_packet_create(mbuf_pool_t *pool, size_t room, mbuf_packet_t **packet);
int mbuf_packet_copy_of(mbuf_pool_t *pool, const void *bytes, size_t len, mbuf_packet_t **packet);
int mbuf_packet_over(mbuf_pool_t *pool, void *bytes, size_t len, void (*release)(void *), void *arg, mbuf_packet_t **packet);
void mbuf_packet_free(mbuf_packet_t *packet);

/* How long it is, in bytes and in pieces; zero without a packet. */
size_t mbuf_packet_len(const mbuf_packet_t *packet);
size_t mbuf_packet_pieces(const mbuf_packet_t *packet);
/* One piece, to be read until the packet is changed. */
int mbuf_packet_piece(const mbuf_packet_t *packet, size_t index, const void **bytes, size_t *len);
/* A range as one piece: moved together if it is not. */
int mbuf_packet_contiguous(mbuf_packet_t *packet, size_t offset, size_t len, const void **bytes);

int mbuf_packet_read(const mbuf_packet_t *packet, size_t offset, void *bytes, size_t len);
/* Bytes at an offset, which may be at the end; what is shared is copied first. */
int mbuf_packet_write(mbuf_packet_t *packet, size_t offset, const void *bytes, size_t len);
int mbuf_packet_append(mbuf_packet_t *packet, const void *bytes, size_t len);
int mbuf_packet_prepend(mbuf_packet_t *packet, const void *bytes, size_t len);
int mbuf_packet_trim_front(mbuf_packet_t *packet, size_t len);
int mbuf_packet_trim_back(mbuf_packet_t *packet, size_t len);

/* Another packet: that shares bytes, that has copies of them, or that has what was behind an offset. */
int mbuf_packet_share(const mbuf_packet_t *packet, size_t offset, size_t len, mbuf_packet_t **other);
int mbuf_packet_duplicate(const mbuf_packet_t *packet, mbuf_packet_t **other);
int mbuf_packet_split(mbuf_packet_t *packet, size_t at, mbuf_packet_t **behind);
/* Puts another packet behind; its handle is gone if that succeeds. */
int mbuf_packet_join(mbuf_packet_t *packet, mbuf_packet_t *behind);
/* As few pieces as the bytes need. */
int mbuf_packet_defragment(mbuf_packet_t *packet);
/* The Internet checksum of a range, in the byte order of the network. */
int mbuf_packet_checksum(const mbuf_packet_t *packet, size_t offset, size_t len, uint16_t *checksum);

/* What a packet carries beside its bytes. */
#define MBUF_META_INTERFACE 0
#define MBUF_META_CHECKSUM_FLAGS 1
#define MBUF_META_CHECKSUM_DATA 2
#define MBUF_META_TSO_SEGMENT 3
#define MBUF_META_VLAN_TAG 4
#define MBUF_META_FLOW 5
#define MBUF_META_HASH_TYPE 6
#define MBUF_META_TIMESTAMP 7
#define MBUF_META_FLAGS 8
int mbuf_packet_meta(const mbuf_packet_t *packet, int which, uint64_t *value);
int mbuf_packet_set_meta(mbuf_packet_t *packet, int which, uint64_t value);

/* Between this layer and mbuf.h: the packet is of the pool that mbuf.h uses, and its handle, or the mbufs, are gone if it succeeds. */
struct mbuf;
int mbuf_packet_into_mbuf(mbuf_packet_t *packet, struct mbuf **m);
int mbuf_packet_from_mbuf(struct mbuf *m, mbuf_packet_t **packet);

#ifdef __cplusplus
}
#endif

#endif /* MBUF_PACKET_H */
