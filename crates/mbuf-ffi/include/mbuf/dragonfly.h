/*
 * mbuf/dragonfly.h - mbuf.h with the names and arguments of DragonFly BSD 2.
 *
 * Values of flags and types are mbuf.h's. What is different from DragonFly is told in docs/c-guide.md.
 */
#ifndef MBUF_DRAGONFLY_H
#define MBUF_DRAGONFLY_H

#if defined(MBUF_FREEBSD_H) || defined(MBUF_NETBSD_H)
#error "a file is written for one system"
#endif

#include <mbuf.h>
#include <mbuf/types.h>

#define MB_DONTWAIT M_NOWAIT
#define MB_TRYWAIT M_TRYWAIT
#define MB_WAIT M_WAITOK
#define MBTOM(how) (how)

/* m_flags. Memory attached by hand is its owner's, who counts: ext_ref and ext_free are called for every mbuf. */
#undef M_EXT
#define M_EXT (0x00001 | M_PRIV_COUNTED)
#define M_FRAG M_PROTO6
#define M_FIRSTFRAG M_PROTO7
#define M_LASTFRAG M_PROTO8
#define M_NOTIFICATION M_PROTO9
#define M_MPLSLABELED M_PROTO10
#define M_HASH M_PROTO11

#define ext_free ext_free_arg
#define ext_arg ext_arg1
#define ether_vlantag ether_vtag

/* csum_flags */
#define CSUM_DELAY_IP CSUM_IP

#ifdef __cplusplus
extern "C" {
#endif
struct mbuf *m_devget_dragonfly(char *buf, int len, int off, struct ifnet *ifp, void (*copy)(volatile const void *from, volatile void *to, size_t len));
#ifdef __cplusplus
}
#endif

/* Later systems have no `copy`. */
#define M_PRIV_DEVGET(buf, len, off, ifp, copy, ...) m_devget_dragonfly((buf), (len), (off), (ifp), (copy))
#define m_devget(...) M_PRIV_DEVGET(__VA_ARGS__, NULL, 0)

/* How to allocate comes last, and there is no header. */
#undef m_getm
#define m_getm(m, len, type, how) m_getm2((m), (len), (how), (type), 0)

/* M_EXT says whether there is a cluster now. */
static inline void m_mclget(struct mbuf *m, int how)
{
	(void)m_clget(m, how);
}

/* An mbuf with room for so many bytes, or with as many as one has, and how many that are. */
static inline struct mbuf *m_getl(int len, int how, int type, int flags, int *size)
{
	struct mbuf *m;
	if (len >= MINCLSIZE)
		m = m_getcl(how, type, flags);
	else if (flags & M_PKTHDR)
		m = m_gethdr(how, type);
	else
		m = m_get(how, type);
	if (size != NULL)
		*size = len >= MINCLSIZE ? MCLBYTES : (flags & M_PKTHDR) ? MHLEN : MLEN;
	return m;
}

static inline struct mbuf *m_getb(int len, int how, int type, int flags)
{
	return m_getl(len, how, type, flags, NULL);
}

/* A copy of the bytes, without a header. */
static inline struct mbuf *m_dup_data(struct mbuf *m, int how)
{
	struct mbuf *copy = m_dup(m, how);
	if (copy != NULL)
		m_demote_pkthdr(copy);
	return copy;
}

static inline void m_sethash(struct mbuf *m, uint16_t hash)
{
	m->m_flags |= M_HASH;
	m->m_pkthdr.hash = hash;
}

/* All of it. */
#define m_print(m) m_print((m), -1)

#define m_tag_data(t) ((void *)((t) + 1))

struct mbuf_chain {
	struct mbuf *mc_head;
	struct mbuf *mc_tail;
};

#endif /* MBUF_DRAGONFLY_H */
