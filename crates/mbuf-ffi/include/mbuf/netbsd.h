/*
 * mbuf/netbsd.h - mbuf.h with the names and arguments of NetBSD 1.4 and its mbuf(9), and with what 1.5 and 1.6 added.
 *
 * Values of flags and types are mbuf.h's. What is different from NetBSD is told in docs/c-guide.md.
 */
#ifndef MBUF_NETBSD_H
#define MBUF_NETBSD_H

#if defined(MBUF_FREEBSD_H) || defined(MBUF_DRAGONFLY_H)
#error "a file is written for one system"
#endif

#include <mbuf.h>
#include <mbuf/types.h>
#include <stdlib.h>

#define M_DONTWAIT M_NOWAIT
#define M_WAIT M_WAITOK

/* m_flags */
#define M_LINK0 M_PROTO1
#define M_LINK1 M_PROTO2
#define M_LINK2 M_PROTO3
#define M_ANYCAST6 M_PROTO4
#define M_LOOP M_PROTO5
#define M_AUTHIPHDR M_PROTO6
#define M_DECRYPTED M_PROTO7
#define M_AUTHIPDGM M_PROTO8

/* m_type */
#define MT_SOOPTS 6
#define MT_FTABLE 7

/* What MEXTADD() says the memory is; nothing is made of it. */
#define M_MBUF 10
#define M_DEVBUF 2

#ifdef __cplusplus
extern "C" {
#endif
void m_extadd_netbsd(struct mbuf *m, char *buf, unsigned int size, int type, void (*free)(char *, unsigned int, void *), void *arg);
struct mbuf *m_devget_netbsd(char *buf, int total, int off, struct ifnet *ifp, void (*copy)(const void *from, void *to, size_t len));
#ifdef __cplusplus
}
#endif

/* With off, the packet has a trailer there: it and what follows come first. Later systems have no `copy`. */
#define M_PRIV_DEVGET(buf, total, off, ifp, copy, ...) m_devget_netbsd((buf), (total), (off), (ifp), (copy))
#define m_devget(...) M_PRIV_DEVGET(__VA_ARGS__, NULL, 0)

/* Storage that malloc() gave, if there is memory for it: M_EXT says so. */
static inline void m_extmalloc_netbsd(struct mbuf *m, unsigned int size)
{
	char *buf = (char *)malloc(size);
	if (buf == NULL)
		return;
	m_extadd_netbsd(m, buf, size, M_MBUF, NULL, NULL);
	if (!(m->m_flags & M_EXT))
		free(buf);
}

/* Attaches what was put into m_ext by hand; without memory it is let go, and the mbuf is empty. */
static inline void m_extinit_netbsd(struct mbuf *m)
{
	void (*const release)(char *, unsigned int, void *) = m->m_ext.ext_free_buf;
	char *const buf = m->m_ext.ext_buf, *const data = m->m_data;
	void *const arg = m->m_ext.ext_arg1;
	const unsigned int size = m->m_ext.ext_size;
	const int len = m->m_len;
	m->m_flags &= ~(uint32_t)M_EXT;
	m->m_data = (m->m_flags & M_PKTHDR) ? m->m_pktdat : m->m_dat;
	m->m_len = 0;
	m_extadd_netbsd(m, buf, size, M_DEVBUF, release, arg);
	if (m->m_flags & M_EXT) {
		m->m_data = data;
		m->m_len = len;
	} else if (release != NULL)
		release(buf, size, arg);
	else
		free(buf);
}

#undef MEXTADD
#define MEXTADD(m, buf, size, type, free, arg) m_extadd_netbsd((m), (char *)(buf), (size), (type), (free), (arg))
#define MEXTMALLOC(m, size, how) ((void)(how), m_extmalloc_netbsd((m), (size)))
#define MCLINITREFERENCE(m) m_extinit_netbsd(m)
#define MCLISREFERENCED(m) (m_sharecount(m) > 1)
#define M_READONLY(m) (!m_writable(m))
#define M_ROMAP M_RDONLY

#define ext_free ext_free_buf
#define ext_arg ext_arg1

/* The header's fields and its flags; the mbuf becomes a packet header's. */
#define M_COPY_PKTHDR(to, from) ((void)m_dup_pkthdr((to), (from), M_NOWAIT))

/* A copy of the bytes of a range, with the header if it begins at the start. */
static inline struct mbuf *m_dup_netbsd(struct mbuf *m, int off, int len, int how)
{
	struct mbuf *copy, *part = m_copym(m, off, len, how);
	if (part == NULL)
		return NULL;
	copy = m_dup(part, how);
	m_freem(part);
	return copy;
}

/* As m_copyback(), but with a copy of what is shared; NULL, and the chain freed, without memory. */
static inline struct mbuf *m_copyback_cow_netbsd(struct mbuf *m, int off, int len, const void *buf, int how)
{
	if (m_copyback2(m, off, len, buf, how) == 0)
		return m;
	m_freem(m);
	return NULL;
}

/* What came later. There is one interface and no other thread that takes it away: nothing is held meanwhile. */
static inline void m_set_rcvif(struct mbuf *m, struct ifnet *ifp)
{
	m->m_pkthdr.rcvif = ifp;
}

static inline void m_reset_rcvif(struct mbuf *m)
{
	m->m_pkthdr.rcvif = NULL;
}

static inline struct ifnet *m_get_rcvif_NOMPSAFE(const struct mbuf *m)
{
	return m->m_pkthdr.rcvif;
}

static inline struct ifnet *m_get_rcvif(const struct mbuf *m, int *s)
{
	*s = 0;
	return m->m_pkthdr.rcvif;
}

static inline void m_put_rcvif(struct ifnet *ifp, int *s)
{
	(void)ifp;
	(void)s;
}

/* No packet header any more, and no tags. */
static inline void m_remove_pkthdr(struct mbuf *m)
{
	m_demote_pkthdr(m);
}

/* Looks at every mbuf, as each function does. */
static inline void m_verify_packet(struct mbuf *m)
{
	(void)m_length(m, NULL);
}

/* Whose mbufs these are is not counted. */
#define MCLAIM(m, owner) ((void)(m))

/* `after` may be left out. */
#undef m_tag_find
#define M_PRIV_TAG_FIND(m, type, after, ...) m_tag_locate((m), MTAG_ABI_COMPAT, (type), (after))
#define m_tag_find(...) M_PRIV_TAG_FIND(__VA_ARGS__, NULL, 0)

#define m_dup m_dup_netbsd
#define m_copyback_cow m_copyback_cow_netbsd

/* Asks for buffers to be let go, and tries once more. */
static inline struct mbuf *m_retry(int how, int type)
{
	(void)how;
	m_reclaim();
	return m_get(M_NOWAIT, type);
}

static inline struct mbuf *m_retryhdr(int how, int type)
{
	(void)how;
	m_reclaim();
	return m_gethdr(M_NOWAIT, type);
}

static inline void m_reclaim_netbsd(int how)
{
	(void)how;
	m_reclaim();
}

#define m_reclaim m_reclaim_netbsd

struct mbstat_netbsd {
	u_long m_spare;
	u_long m_drops;
	u_long m_wait;
	u_long m_drain;
	u_short m_mtypes[256];
};

static inline void mbuf_stat_netbsd(struct mbstat_netbsd *to)
{
	struct mbstat from;
	long types[MT_NTYPES];
	int i;
	mbuf_stat(&from);
	mbuf_types(types);
	memset(to, 0, sizeof(*to));
	to->m_drops = from.m_drops;
	to->m_wait = from.m_wait;
	to->m_drain = from.m_drain;
	for (i = 0; i < MT_NTYPES; i++)
		to->m_mtypes[i] = (u_short)(types[i] > USHRT_MAX ? USHRT_MAX : types[i]);
}

#define mbstat mbstat_netbsd
#define mbuf_stat mbuf_stat_netbsd

#endif /* MBUF_NETBSD_H */
