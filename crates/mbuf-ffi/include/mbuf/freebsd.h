/*
 * mbuf/freebsd.h - mbuf.h with the names and arguments of FreeBSD: those of mbuf(9) of its current releases, and the
 * ones that code for FreeBSD 7 to 12 still has.
 *
 * Values of flags and types are mbuf.h's. What is different from FreeBSD is told in docs/c-guide.md.
 */
#ifndef MBUF_FREEBSD_H
#define MBUF_FREEBSD_H

#if defined(MBUF_NETBSD_H) || defined(MBUF_DRAGONFLY_H)
#error "a file is written for one system"
#endif

#include <assert.h>
#include <mbuf.h>
#include <mbuf/types.h>

#define M_DONTWAIT M_NOWAIT
#define M_WAIT M_WAITOK
#define MBTOM(how) (how)

/* m_flags */
#define M_FRAG M_PROTO9
#define M_FIRSTFRAG M_PROTO10
#define M_LASTFRAG M_PROTO11
#define M_SKIP_FIREWALL M_PROTO3

/* m_type. No mbuf comes without its fields set. */
#define MT_NOTMBUF MT_FREE
#define MT_NOINIT MT_DATA
#define MT_VENDOR1 6
#define MT_VENDOR2 7
#define MT_VENDOR3 8
#define MT_VENDOR4 9
#define MT_EXP1 10
#define MT_EXP2 11
#define MT_EXP3 12
#define MT_EXP4 13

/* ext_type */
#define EXT_MBUF 7
#define EXT_RXRING 8
#define EXT_VENDOR1 224
#define EXT_VENDOR2 225
#define EXT_VENDOR3 226
#define EXT_VENDOR4 227
#define EXT_EXP1 244
#define EXT_EXP2 245
#define EXT_EXP3 246
#define EXT_EXP4 247

/* csum_flags */
#define CSUM_DELAY_IP CSUM_IP
#define CSUM_TCP_IPV6 CSUM_IP6_TCP
#define CSUM_UDP_IPV6 CSUM_IP6_UDP
#define CSUM_SCTP_IPV6 CSUM_IP6_SCTP
#define CSUM_DELAY_DATA_IPV6 (CSUM_TCP_IPV6 | CSUM_UDP_IPV6)

/* Says whether there is a cluster now. */
#undef MCLGET
#define MCLGET(m, how) m_clget((m), (how))

#define m_rcvif(m) ((m)->m_pkthdr.rcvif)

#define M_ASSERTPKTHDR(m) assert((m) != NULL && ((m)->m_flags & M_PKTHDR))

/* m_tag_id of the tags that m_tag_get() makes. */
#define PACKET_TAG_NONE 0
#define PACKET_TAG_IPSEC_IN_DONE 1
#define PACKET_TAG_IPSEC_OUT_DONE 2
#define PACKET_TAG_IPSEC_IN_CRYPTO_DONE 3
#define PACKET_TAG_IPSEC_OUT_CRYPTO_NEEDED 4
#define PACKET_TAG_IPSEC_IN_COULD_DO_CRYPTO 5
#define PACKET_TAG_IPSEC_PENDING_TDB 6
#define PACKET_TAG_BRIDGE 7
#define PACKET_TAG_GIF 8
#define PACKET_TAG_GRE 9
#define PACKET_TAG_IN_PACKET_CHECKSUM 10
#define PACKET_TAG_ENCAP 11
#define PACKET_TAG_IPSEC_SOCKET 12
#define PACKET_TAG_IPSEC_HISTORY 13
#define PACKET_TAG_IPV6_INPUT 14
#define PACKET_TAG_DUMMYNET 15
#define PACKET_TAG_DIVERT 17
#define PACKET_TAG_IPFORWARD 18
#define PACKET_TAG_MACLABEL (19 | MTAG_PERSISTENT)
#define PACKET_TAG_PF (21 | MTAG_PERSISTENT)
#define PACKET_TAG_RTSOCKFAM 25
#define PACKET_TAG_IPOPTIONS 27
#define PACKET_TAG_CARP 28
#define PACKET_TAG_IPSEC_NAT_T_PORTS 29
#define PACKET_TAG_ND_OUTGOING 30

/* Frees a packet, and those linked behind it. */
static inline void m_freemp(struct mbuf *m)
{
	while (m != NULL) {
		struct mbuf *const next = m->m_nextpkt;
		m->m_nextpkt = NULL;
		m_freem(m);
		m = next;
	}
}

/* Called with ext_arg1 and ext_arg2 when the last mbuf lets go: what FreeBSD had before callbacks got the mbuf. */
typedef void m_ext_free_args_t(void *, void *);

#ifdef __cplusplus
extern "C" {
#endif
void m_extadd_freebsd(struct mbuf *m, char *buf, unsigned int size, m_ext_free_args_t *free, void *arg1, void *arg2, int flags, int type);
#ifdef __cplusplus
}

static inline void m_extadd_either(struct mbuf *m, char *buf, u_int size, m_ext_free_t *free, void *arg1, void *arg2, int flags, int type)
{
	m_extadd(m, buf, size, free, arg1, arg2, flags, type);
}

static inline void m_extadd_either(struct mbuf *m, char *buf, u_int size, m_ext_free_args_t *free, void *arg1, void *arg2, int flags, int type)
{
	m_extadd_freebsd(m, buf, size, free, arg1, arg2, flags, type);
}
#else
#define m_extadd_either(m, buf, size, free, arg1, arg2, flags, type)                                            \
	_Generic((free), m_ext_free_args_t *: m_extadd_freebsd, default: m_extadd)(m, buf, size, free, arg1, arg2, \
	    flags, type)
#endif

/* With a callback of either kind. */
#define m_extadd(m, buf, size, free, arg1, arg2, flags, type) \
	m_extadd_either((m), (char *)(buf), (size), (free), (arg1), (arg2), (flags), (type))

struct mbstat_freebsd {
	u_long m_mbufs;
	u_long m_mclusts;
	u_long m_drain;
	u_long m_mcfail;
	u_long m_mpfail;
	u_long m_msize;
	u_long m_mclbytes;
	u_long m_minclsize;
	u_long m_mlen;
	u_long m_mhlen;
	short m_numtypes;
	/* There is no sendfile(2) here. */
	u_long sf_iocnt;
	u_long sf_allocfail;
	u_long sf_allocwait;
};

static inline void mbuf_stat_freebsd(struct mbstat_freebsd *to)
{
	struct mbstat from;
	mbuf_stat(&from);
	memset(to, 0, sizeof(*to));
	to->m_mbufs = from.m_mbufs;
	to->m_mclusts = from.m_clusters;
	to->m_drain = from.m_drain;
	to->m_mcfail = from.m_mcfail;
	to->m_mpfail = from.m_mpfail;
	to->m_msize = from.m_msize;
	to->m_mclbytes = from.m_mclbytes;
	to->m_minclsize = from.m_minclsize;
	to->m_mlen = from.m_mlen;
	to->m_mhlen = from.m_mhlen;
	to->m_numtypes = (short)from.m_numtypes;
}

#define mbstat mbstat_freebsd
#define mbuf_stat mbuf_stat_freebsd

#endif /* MBUF_FREEBSD_H */
