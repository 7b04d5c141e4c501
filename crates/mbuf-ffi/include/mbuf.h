/*
 * mbuf.h - network memory buffers under their BSD names.
 *
 * What the functions do is in mbuf(9) of this library; how to port a BSD code base to it, and what differs from each
 * BSD, in docs/c-guide.md. Systems differ in names and arguments: include <mbuf/freebsd.h>, <mbuf/netbsd.h> or
 * <mbuf/dragonfly.h> for code that was written for one of them.
 *
 * An mbuf's fields may be read and written as BSD code does. Every function checks them before it believes them. Fields
 * whose names begin with `m_priv` are the library's.
 */
#ifndef MBUF_H
#define MBUF_H

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#if UINTPTR_MAX < 0xffffffffffffffffu || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#error "mbuf.h describes mbufs of little-endian 64-bit machines"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Sizes, in bytes. */
#define MSIZE 256
#define MLEN 184
#define MHLEN 104
#define MINCLSIZE (MHLEN + 1)
#define MCLSHIFT 11
#define MCLBYTES (1 << MCLSHIFT)
#define MJUMPAGESIZE 4096
#define MJUM9BYTES (9 * 1024)
#define MJUM16BYTES (16 * 1024)

struct ifnet;
struct mbuf;
struct m_tag;

/* Called when nobody uses memory attached with m_extadd() any more. Of the mbuf, only m_ext means something. */
typedef void m_ext_free_t(struct mbuf *);

/* The packet's tags: see m_tag_first(). */
struct packet_tags {
	void *slh_first;
};

/* Eight bytes for the layer that has the packet, as whatever it likes. */
union pkthdr_local {
	uint8_t eight[8];
	uint16_t sixteen[4];
	uint32_t thirtytwo[2];
	uint64_t sixtyfour[1];
	uintptr_t unintptr[1];
	void *ptr;
};

struct pkthdr {
	int32_t len;             /* bytes in all mbufs */
	uint32_t m_priv_flags;
	struct mbuf *m_priv_tail;
	struct packet_tags tags;
	uint32_t if_index;       /* an interface, as a number */
	uint32_t csum_flags;
	uint32_t csum_data;
	uint16_t tso_segsz;
	uint16_t ether_vtag;
	union {
		uint32_t flowid;
		uint32_t hash;       /* as DragonFly calls it */
	};
	uint8_t rsstype;
	uint8_t rcv_tstmp_kind;  /* precision of rcv_tstmp, 0: none */
	uint16_t l2hlen;
	uint16_t l4hlen;
	uint16_t l3hlen;
	uint32_t fw_flags;
	uint64_t rcv_tstmp;
	struct ifnet *rcvif;
	union {                  /* the layer's that has the packet */
		void *header;
		union pkthdr_local PH_loc;
	};
};

/*
 * Storage outside of the mbuf, while M_EXT is set. Attach memory with m_extadd(); by hand, as old drivers do, every field
 * but ext_ref has to be set before M_EXT is.
 */
struct m_ext {
	char *ext_buf;
	uint32_t ext_size;
	uint32_t ext_type : 8;
	uint32_t ext_flags : 24;
	union {
		m_ext_free_t *ext_free;
		void (*ext_free_arg)(void *);
		void (*ext_free_buf)(char *, unsigned int, void *);
	};
	void *ext_arg1;
	void *ext_arg2;
	void (*ext_ref)(void *);
};

struct mbuf {
	void *m_priv_zone;
	uint64_t m_priv_place;
	struct mbuf *m_next;     /* of the same packet */
	struct mbuf *m_nextpkt;  /* the next packet */
	char *m_data;
	int32_t m_len;
	uint32_t m_type : 4;
	uint32_t m_priv_state : 8;
	uint32_t m_flags : 20;
	void *m_priv_storage;
	char *m_priv_buf;
	uint32_t m_priv_cap;
	uint32_t m_priv_track;
	union {
		struct {
			struct pkthdr MH_pkthdr;
			union {
				struct m_ext MH_ext;
				char MH_databuf[MHLEN];
			} MH_dat;
		} MH;
		char M_databuf[MLEN];
	} M_dat;
} __attribute__((aligned(64)));

#define m_pkthdr M_dat.MH.MH_pkthdr
#define m_ext M_dat.MH.MH_dat.MH_ext
#define m_pktdat M_dat.MH.MH_dat.MH_databuf
#define m_dat M_dat.M_databuf

/* m_flags */
#define M_EXT 0x00001
#define M_PKTHDR 0x00002
#define M_EOR 0x00004
#define M_BCAST 0x00008
#define M_MCAST 0x00010
#define M_PROMISC 0x00020
#define M_VLANTAG 0x00040
#define M_PROTO1 0x00080
#define M_PROTO2 0x00100
#define M_PROTO3 0x00200
#define M_PROTO4 0x00400
#define M_PROTO5 0x00800
#define M_PROTO6 0x01000
#define M_PROTO7 0x02000
#define M_PROTO8 0x04000
#define M_PROTO9 0x08000
#define M_PROTO10 0x10000
#define M_PROTO11 0x20000
#define M_RDONLY 0x40000
/* Set by hand with M_EXT: ext_ref and ext_free_arg are called for every mbuf (DragonFly). */
#define M_PRIV_COUNTED 0x80000
#define M_PROTOFLAGS (0x3ff80)
/* Go where a header goes. */
#define M_COPYFLAGS (M_PKTHDR | M_BCAST | M_MCAST | M_PROMISC | M_VLANTAG | M_PROTOFLAGS)

/* m_type */
#define MT_FREE 0
#define MT_DATA 1
#define MT_HEADER 2
#define MT_SONAME 3
#define MT_CONTROL 4
#define MT_OOBDATA 5
#define MT_NTYPES 16

/* ext_type */
#define EXT_CLUSTER 1
#define EXT_SFBUF 2
#define EXT_JUMBOP 3
#define EXT_JUMBO9 4
#define EXT_JUMBO16 5
#define EXT_PACKET 6
#define EXT_NET_DRV 100
#define EXT_MOD_TYPE 200
#define EXT_DISPOSABLE 250
#define EXT_EXTREF 251

/* How long an allocation may take: it fails, it asks for buffers to be let go and tries again, it waits. */
#define M_NOWAIT 0x0001
#define M_WAITOK 0x0002
#define M_TRYWAIT 0x0004

/* A length that means all there is. */
#define M_COPYALL 1000000000

/* csum_flags */
#define CSUM_IP 0x00000001
#define CSUM_IP_UDP 0x00000002
#define CSUM_IP_TCP 0x00000004
#define CSUM_IP_SCTP 0x00000008
#define CSUM_IP_TSO 0x00000010
#define CSUM_IP6_UDP 0x00000200
#define CSUM_IP6_TCP 0x00000400
#define CSUM_IP6_SCTP 0x00000800
#define CSUM_IP6_TSO 0x00001000
#define CSUM_L3_CALC 0x01000000
#define CSUM_L3_VALID 0x02000000
#define CSUM_L4_CALC 0x04000000
#define CSUM_L4_VALID 0x08000000
#define CSUM_UDP CSUM_IP_UDP
#define CSUM_TCP CSUM_IP_TCP
#define CSUM_SCTP CSUM_IP_SCTP
#define CSUM_TSO (CSUM_IP_TSO | CSUM_IP6_TSO)
#define CSUM_DELAY_DATA (CSUM_TCP | CSUM_UDP)
#define CSUM_IP_CHECKED CSUM_L3_CALC
#define CSUM_IP_VALID CSUM_L3_VALID
#define CSUM_DATA_VALID CSUM_L4_VALID
#define CSUM_PSEUDO_HDR CSUM_L4_CALC

/* rsstype */
#define M_HASHTYPE_NONE 0
#define M_HASHTYPE_OPAQUE 63
#define M_HASHTYPE_GET(m) ((m)->m_pkthdr.rsstype)
#define M_HASHTYPE_SET(m, v) ((m)->m_pkthdr.rsstype = (uint8_t)(v))
#define M_HASHTYPE_CLEAR(m) ((m)->m_pkthdr.rsstype = M_HASHTYPE_NONE)

/* Bytes that code leaves for headers: at first, those of the settings of the same names. m_devget() leaves max_linkhdr. */
extern int max_linkhdr;
extern int max_protohdr;
extern int max_hdr;
extern int max_datalen;

/* Making mbufs. NULL without memory. */
struct mbuf *m_get(int how, int type);
struct mbuf *m_gethdr(int how, int type);
struct mbuf *m_getclr(int how, int type);
struct mbuf *m_getcl(int how, int type, int flags);
struct mbuf *m_getjcl(int how, int type, int flags, int size);
struct mbuf *m_get2(int size, int how, int type, int flags);
struct mbuf *m_get3(int size, int how, int type, int flags);
struct mbuf *m_getm2(struct mbuf *m, int len, int how, int type, int flags);
struct mbuf *m_getc(int len, int how, int type);
int m_clget(struct mbuf *m, int how);
void *m_cljget(struct mbuf *m, int how, int size);
void m_extadd(struct mbuf *m, char *buf, unsigned int size, m_ext_free_t *free, void *arg1, void *arg2, int flags, int type);

/* Letting go of them. */
struct mbuf *m_free(struct mbuf *m);
void m_freem(struct mbuf *m);

/* Room and right to write. */
int m_leadingspace(const struct mbuf *m);
int m_trailingspace(const struct mbuf *m);
int m_writable(const struct mbuf *m);
unsigned int m_sharecount(struct mbuf *m);

/* Looking. */
unsigned int m_length(struct mbuf *m, struct mbuf **last);
unsigned int m_lengthm(struct mbuf *m, struct mbuf **last);
unsigned int m_countm(struct mbuf *m, struct mbuf **last, unsigned int *mbcnt);
struct mbuf *m_last(struct mbuf *m);
struct mbuf *m_getptr(struct mbuf *m, int loc, int *off);
int m_apply(struct mbuf *m, int off, int len, int (*f)(void *, void *, unsigned int), void *arg);
void m_copydata(const struct mbuf *m, int off, int len, void *buf);
uint16_t in_cksum(struct mbuf *m, int len);
uint16_t in_cksum_skip(struct mbuf *m, int len, int skip);
int m_sanity(struct mbuf *m, int sanitize);
void m_print(const struct mbuf *m, int maxlen);

/* Copies. */
struct mbuf *m_copym(const struct mbuf *m, int off, int len, int how);
struct mbuf *m_copypacket(struct mbuf *m, int how);
struct mbuf *m_dup(const struct mbuf *m, int how);
struct mbuf *m_devget(char *buf, int len, int off, struct ifnet *ifp, void (*copy)(char *from, char *to, unsigned int len));
struct mbuf *m_defrag(struct mbuf *m, int how);
struct mbuf *m_defrag_nofree(struct mbuf *m, int how);
struct mbuf *m_fragment(struct mbuf *m, int how, int length);

/* Changes. */
void m_adj(struct mbuf *m, int len);
void m_cat(struct mbuf *m, struct mbuf *n);
void m_catpkt(struct mbuf *m, struct mbuf *n);
struct mbuf *m_prepend(struct mbuf *m, int len, int how);

#define m_priv_add(to, len) ((to) = (int32_t)((uint32_t)(to) + (uint32_t)(len)))

/* What is left of functions of which the header has the rest. */
struct mbuf *m_priv_prepend(struct mbuf *m, int len, int how);
void m_priv_adj(struct mbuf *m, int len);
struct mbuf *m_priv_pullup(struct mbuf *m, int len);
void m_priv_copydata(const struct mbuf *m, int off, int len, void *buf);
void m_priv_copyback(struct mbuf *m, int off, int len, const void *buf);

#if defined(__GNUC_STDC_INLINE__) || defined(__GNUC_GNU_INLINE__)
/* What is most often so is done without a call: with what the first mbuf has. Where it is not inlined it is the function of
 * that name. */
#define M_PRIV_INLINE extern __inline__ __attribute__((__gnu_inline__))
#define M_PRIV_ALWAYS M_PRIV_INLINE __attribute__((__always_inline__))

M_PRIV_ALWAYS int m_priv_is_used(const struct mbuf *m)
{
	return m != NULL && (m->m_priv_state & 0x10) == 0;
}

/* Whether it is in use, with a packet header that the library made, and has none of these flags. */
M_PRIV_ALWAYS int m_priv_is_packet(const struct mbuf *m, uint32_t flags)
{
	const uint32_t packet = (uint32_t)M_PKTHDR << 12, free_or_fresh = 0x120;
	uint32_t word;

	if (m == NULL)
		return 0;
	__builtin_memcpy(&word, (const char *)&m->m_len + sizeof(m->m_len), sizeof(word));
	return (word & (packet | free_or_fresh | flags << 12)) == packet;
}

/* Bytes of storage in front of the window. */
M_PRIV_ALWAYS uint64_t m_priv_front(const struct mbuf *m)
{
	return (uint64_t)((uintptr_t)m->m_data - (uintptr_t)m->m_priv_buf);
}

/* Whether the window is within the storage, and has so many bytes from an offset on. */
M_PRIV_ALWAYS int m_priv_has(const struct mbuf *m, int off, int len)
{
	uint64_t room;

	return !__builtin_sub_overflow((uint64_t)m->m_priv_cap, m_priv_front(m), &room) &&
	    (uint64_t)(uint32_t)off + (uint32_t)len <= (uint32_t)m->m_len && (uint32_t)m->m_len <= room;
}

/* Whether the storage was not attached by hand, unknown to the library, and is this one's alone. */
M_PRIV_ALWAYS int m_priv_is_own(const struct mbuf *m)
{
	return (m->m_priv_storage != NULL || (m->m_flags & M_EXT) == 0) && ((uintptr_t)m->m_priv_zone & 1) == 0;
}

/* Whether M_PREPEND finds room in front. */
M_PRIV_ALWAYS int m_priv_has_front(const struct mbuf *m, int len)
{
	return m_priv_is_packet(m, M_RDONLY) && m_priv_has(m, 0, 0) && m_priv_is_own(m) && (uint32_t)len <= m_priv_front(m);
}

/* Touches no bytes, and does not look whether they are there. */
M_PRIV_INLINE void m_adj(struct mbuf *m, int len)
{
	if (m_priv_is_packet(m, 0) && len >= 0 && len <= m->m_len) {
		m->m_data += len;
		m_priv_add(m->m_len, -len);
		m_priv_add(m->m_pkthdr.len, -len);
	} else
		m_priv_adj(m, len);
}

M_PRIV_INLINE struct mbuf *m_pullup(struct mbuf *m, int len)
{
	return m_priv_is_used(m) && m_priv_has(m, 0, len) ? m : m_priv_pullup(m, len);
}

/* Whether so many bytes, and not none, are at two places that have none in common. */
M_PRIV_ALWAYS int m_priv_apart(const void *a, const void *b, int len)
{
	return (uint64_t)((uintptr_t)a - (uintptr_t)b) + (uint32_t)len - 1 >= 2 * (uint64_t)(uint32_t)len - 1;
}

M_PRIV_INLINE void m_copydata(const struct mbuf *m, int off, int len, void *buf)
{
	if (m_priv_is_used(m) && m_priv_has(m, off, len) && m_priv_apart(m->m_data + off, buf, len))
		__builtin_memcpy(buf, m->m_data + off, (size_t)len);
	else
		m_priv_copydata(m, off, len, buf);
}

M_PRIV_INLINE void m_copyback(struct mbuf *m, int off, int len, const void *buf)
{
	if (m_priv_is_packet(m, M_RDONLY) && m_priv_has(m, off, len) && m_priv_is_own(m) &&
	    (int64_t)off + len <= m->m_pkthdr.len && m_priv_apart(m->m_data + off, buf, len))
		__builtin_memcpy(m->m_data + off, buf, (size_t)len);
	else
		m_priv_copyback(m, off, len, buf);
}
#else
#define m_priv_has_front(m, len) 0
#endif
int m_append(struct mbuf *m, int len, const void *buf);
int m_devpad(struct mbuf *m, int padto);
void m_copyback(struct mbuf *m, int off, int len, const void *buf);
int m_copyback2(struct mbuf *m, int off, int len, const void *buf, int how);
struct mbuf *m_split(struct mbuf *m, int len, int how);
struct mbuf *m_pullup(struct mbuf *m, int len);
struct mbuf *m_copyup(struct mbuf *m, int len, int dstoff);
struct mbuf *m_pulldown(struct mbuf *m, int off, int len, int *offp);
struct mbuf *m_collapse(struct mbuf *m, int how, int maxfrags);
struct mbuf *m_unshare(struct mbuf *m, int how);
/* Like m_pullup(), but the chain is kept if it fails: 1, or 0. */
int m_ensure_contig(struct mbuf **mp, int len);
int m_makewritable(struct mbuf **mp, int off, int len, int how);
void m_align(struct mbuf *m, int len);
void m_chtype(struct mbuf *m, int type);
void m_clrprotoflags(struct mbuf *m);

/* Headers. */
unsigned int m_fixhdr(struct mbuf *m);
void m_demote(struct mbuf *m, int all, int flags);
void m_demote_pkthdr(struct mbuf *m);
void m_move_pkthdr(struct mbuf *to, struct mbuf *from);
int m_dup_pkthdr(struct mbuf *to, const struct mbuf *from, int how);

/* Scattered memory. */
#ifndef MBUF_NO_UIO
enum uio_rw { UIO_READ, UIO_WRITE };
enum uio_seg { UIO_USERSPACE, UIO_SYSSPACE, UIO_NOCOPY };
struct uio {
	struct iovec *uio_iov;
	int uio_iovcnt;
	int64_t uio_offset;
	ssize_t uio_resid;
	enum uio_seg uio_segflg;
	enum uio_rw uio_rw;
	void *uio_td;
};
#else
struct uio;
#endif
struct mbuf *m_uiotombuf(struct uio *uio, int how, int len, int align, int flags);
struct mbuf *m_uiomove(struct uio *uio);
int m_mbuftouio(struct uio *uio, const struct mbuf *m, int len);

/* Tags: records of C's that go with a packet's header. Their data follow them. */
struct m_tag {
	struct {
		struct m_tag *sle_next;
	} m_tag_link;
	uint16_t m_tag_id;
	uint16_t m_tag_len;
	uint32_t m_tag_cookie;
	void (*m_tag_free)(struct m_tag *);
};
#define MTAG_ABI_COMPAT 0
#define MTAG_PERSISTENT 0x800
struct m_tag *m_tag_alloc(uint32_t cookie, int type, int len, int how);
void m_tag_free(struct m_tag *t);
void m_tag_free_default(struct m_tag *t);
struct m_tag *m_tag_copy(struct m_tag *t, int how);
int m_tag_copy_chain(struct mbuf *to, const struct mbuf *from, int how);
void m_tag_prepend(struct mbuf *m, struct m_tag *t);
void m_tag_unlink(struct mbuf *m, struct m_tag *t);
void m_tag_delete(struct mbuf *m, struct m_tag *t);
void m_tag_delete_chain(struct mbuf *m, struct m_tag *from);
void m_tag_delete_nonpersistent(struct mbuf *m);
struct m_tag *m_tag_locate(struct mbuf *m, uint32_t cookie, int type, struct m_tag *after);
struct m_tag *m_tag_first(struct mbuf *m);
struct m_tag *m_tag_next(struct mbuf *m, struct m_tag *t);
#define m_tag_get(type, len, how) m_tag_alloc(MTAG_ABI_COMPAT, (type), (len), (how))
#define m_tag_find(m, type, after) m_tag_locate((m), MTAG_ABI_COMPAT, (type), (after))

/*
 * The one pool. mbuf_init() makes it of a file like loader.conf(5), the environment (MBUF_NMBCLUSTERS=1024), and settings
 * by name, the later before the earlier; without it, the first function that needs a pool makes one of the environment.
 * Zero, or EBUSY if there is one, or EINVAL and a message.
 */
struct mbuf_setting {
	const char *name;
	const char *value;
};
#define MBUF_ON_ERROR_ENVIRONMENT 0
#define MBUF_ON_ERROR_ABORT 1
#define MBUF_ON_ERROR_REPORT 2
struct mbuf_config {
	const struct mbuf_setting *settings;
	size_t count;
	const char *file;
	int on_error;
};
int mbuf_init(const struct mbuf_config *config);

/*
 * Settings and counters by name, as sysctl(8) has them: "kern.ipc.nmbclusters". As text: how long it is, or -1. As a number,
 * UINT64_MAX for none: zero, or ENOENT, or EINVAL if it is none. Set: zero, or EINVAL and a message.
 */
ssize_t mbuf_sysctl_get(const char *name, char *text, size_t size);
int mbuf_sysctl_number(const char *name, uint64_t *number);
int mbuf_sysctl_set(const char *name, const char *value);

/* What there is. mbuf_netstat() writes what `netstat -m` says, as snprintf() would. */
struct mbstat {
	unsigned long m_mbufs;
	unsigned long m_clusters;
	unsigned long m_spare;
	unsigned long m_clfree;
	unsigned long m_drops;
	unsigned long m_wait;
	unsigned long m_drain;
	unsigned long m_mcfail;
	unsigned long m_mpfail;
	unsigned long m_msize;
	unsigned long m_mclbytes;
	unsigned long m_minclsize;
	unsigned long m_mlen;
	unsigned long m_mhlen;
	long m_numtypes;
};
void mbuf_stat(struct mbstat *stat);
void mbuf_types(long *types); /* MT_NTYPES of them */
size_t mbuf_netstat(char *text, size_t size);
/* While MBUF_AUDIT=1 or "kern.ipc.mbuf.audit" is set: who has which buffers, and what was written that was free, as text. */
size_t mbuf_audit(char *text, size_t size);
/* Marks all mbufs of a packet, and of those linked behind it, with a number, which mbuf_audit() says. */
void mbuftrackid(struct mbuf *m, int id);

/* Functions that let go of buffers when there are none left, or when m_reclaim() asks. */
#define MBUF_DRAIN_PROTOCOL 0
#define MBUF_DRAIN_INTERFACE 1
#define MBUF_DRAIN_MEMORY 2
struct mbuf_drain;
struct mbuf_drain *mbuf_drain_register(void (*drain)(void *), void *arg, int kind, int priority);
void mbuf_drain_deregister(struct mbuf_drain *drain);
int m_reclaim(void);
void mb_reclaim(void);
size_t mbuf_trim(void);

/* A queue of packets, for one thread at a time. */
struct mbufq {
	struct mbuf *mq_first;
	struct mbuf *mq_last;
	int mq_len;
	int mq_maxlen;
};

static inline void mbufq_init(struct mbufq *mq, unsigned int maxlen)
{
	mq->mq_first = mq->mq_last = NULL;
	mq->mq_len = 0;
	mq->mq_maxlen = (int)maxlen;
}

static inline struct mbuf *mbufq_first(const struct mbufq *mq)
{
	return mq->mq_first;
}

static inline struct mbuf *mbufq_last(const struct mbufq *mq)
{
	return mq->mq_last;
}

static inline int mbufq_full(const struct mbufq *mq)
{
	return mq->mq_maxlen > 0 && mq->mq_len >= mq->mq_maxlen;
}

static inline int mbufq_empty(const struct mbufq *mq)
{
	return mq->mq_len == 0;
}

static inline int mbufq_len(const struct mbufq *mq)
{
	return mq->mq_len;
}

/* Zero, or ENOBUFS if it is full: the packet is still the caller's. */
static inline int mbufq_enqueue(struct mbufq *mq, struct mbuf *m)
{
	if (mbufq_full(mq))
		return ENOBUFS;
	m->m_nextpkt = NULL;
	if (mq->mq_last != NULL)
		mq->mq_last->m_nextpkt = m;
	else
		mq->mq_first = m;
	mq->mq_last = m;
	mq->mq_len++;
	return 0;
}

static inline struct mbuf *mbufq_dequeue(struct mbufq *mq)
{
	struct mbuf *m = mq->mq_first;
	if (m != NULL) {
		mq->mq_first = m->m_nextpkt;
		if (mq->mq_first == NULL)
			mq->mq_last = NULL;
		m->m_nextpkt = NULL;
		mq->mq_len--;
	}
	return m;
}

static inline void mbufq_prepend(struct mbufq *mq, struct mbuf *m)
{
	m->m_nextpkt = mq->mq_first;
	if (mq->mq_first == NULL)
		mq->mq_last = m;
	mq->mq_first = m;
	mq->mq_len++;
}

/* All packets of the queue, linked by m_nextpkt. */
static inline struct mbuf *mbufq_flush(struct mbufq *mq)
{
	struct mbuf *m = mq->mq_first;
	mq->mq_first = mq->mq_last = NULL;
	mq->mq_len = 0;
	return m;
}

static inline void mbufq_drain(struct mbufq *mq)
{
	struct mbuf *m;
	while ((m = mbufq_dequeue(mq)) != NULL)
		m_freem(m);
}

/* Puts all packets of another queue behind those of this one. */
static inline void mbufq_concat(struct mbufq *mq, struct mbufq *from)
{
	if (from->mq_first == NULL)
		return;
	if (mq->mq_last != NULL)
		mq->mq_last->m_nextpkt = from->mq_first;
	else
		mq->mq_first = from->mq_first;
	mq->mq_last = from->mq_last;
	mq->mq_len += from->mq_len;
	from->mq_first = from->mq_last = NULL;
	from->mq_len = 0;
}

#define mtod(m, t) ((t)((m)->m_data))
#define mtodo(m, o) ((void *)((m)->m_data + (o)))
#define MGET(m, how, type) ((m) = m_get((how), (type)))
#define MGETHDR(m, how, type) ((m) = m_gethdr((how), (type)))
#define MCLGET(m, how) ((void)m_clget((m), (how)))
#define MEXTADD(m, buf, size, free, arg1, arg2, flags, type) \
	m_extadd((m), (char *)(buf), (size), (free), (arg1), (arg2), (flags), (type))
#define MFREE(m, n) ((n) = m_free((m)))
#define MCHTYPE(m, t) m_chtype((m), (t))
#define m_getm(m, len, how, type) m_getm2((m), (len), (how), (type), M_PKTHDR)
#define m_copy(m, o, l) m_copym((m), (o), (l), M_NOWAIT)

/* Where the storage begins, and how long it is. */
#define M_START(m) \
	(((m)->m_flags & M_EXT) ? (m)->m_ext.ext_buf : ((m)->m_flags & M_PKTHDR) ? (m)->m_pktdat : (m)->m_dat)
#define M_SIZE(m) \
	(((m)->m_flags & M_EXT) ? (int)(m)->m_ext.ext_size : ((m)->m_flags & M_PKTHDR) ? MHLEN : MLEN)
#define M_LEADINGSPACE(m) m_leadingspace(m)
#define M_TRAILINGSPACE(m) m_trailingspace(m)
#define M_WRITABLE(m) m_writable(m)
#define M_ALIGN(m, len) m_align((m), (len))
#define MH_ALIGN(m, len) m_align((m), (len))
#define MEXT_ALIGN(m, len) m_align((m), (len))
#define M_MOVE_PKTHDR(to, from) m_move_pkthdr((to), (from))

#define M_PREPEND(m, plen, how)                                                      \
	do {                                                                         \
		struct mbuf **m_priv_mp = &(m);                                      \
		struct mbuf *m_priv_m = *m_priv_mp;                                  \
		const int m_priv_len = (plen);                                       \
		if (m_priv_has_front(m_priv_m, m_priv_len)) {                        \
			m_priv_m->m_data -= m_priv_len;                              \
			m_priv_add(m_priv_m->m_len, m_priv_len);                     \
			m_priv_add(m_priv_m->m_pkthdr.len, m_priv_len);              \
		} else                                                               \
			*m_priv_mp = m_priv_prepend(m_priv_m, m_priv_len, (how));    \
	} while (0)

#ifdef __cplusplus
}
#endif

#endif /* MBUF_H */
