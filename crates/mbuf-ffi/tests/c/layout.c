/* Where the library has each field: compiling this is the test. `crates/mbuf/src/raw/mbuf/foreign.rs` says the same. */
#include <mbuf.h>

#define AT(field, offset) _Static_assert(offsetof(struct mbuf, field) == (offset), #field)

_Static_assert(sizeof(struct mbuf) == MSIZE, "an mbuf");
_Static_assert(sizeof(struct pkthdr) == 80, "a packet header");
_Static_assert(_Alignof(struct mbuf) == 64, "an mbuf's alignment");
AT(m_next, 16);
AT(m_nextpkt, 24);
AT(m_data, 32);
AT(m_len, 40);
AT(m_priv_storage, 48);
AT(m_priv_buf, 56);
AT(m_priv_cap, 64);
AT(m_priv_track, 68);
AT(m_dat, MSIZE - MLEN);
AT(m_pktdat, MSIZE - MHLEN);
AT(m_pkthdr.len, 72);
AT(m_pkthdr.m_priv_tail, 80);
AT(m_pkthdr.tags, 88);
AT(m_pkthdr.if_index, 96);
AT(m_pkthdr.csum_flags, 100);
AT(m_pkthdr.csum_data, 104);
AT(m_pkthdr.tso_segsz, 108);
AT(m_pkthdr.ether_vtag, 110);
AT(m_pkthdr.flowid, 112);
AT(m_pkthdr.rsstype, 116);
AT(m_pkthdr.rcv_tstmp_kind, 117);
AT(m_pkthdr.l2hlen, 118);
AT(m_pkthdr.l4hlen, 120);
AT(m_pkthdr.l3hlen, 122);
AT(m_pkthdr.fw_flags, 124);
AT(m_pkthdr.rcv_tstmp, 128);
AT(m_pkthdr.rcvif, 136);
AT(m_pkthdr.header, 144);
AT(m_ext.ext_buf, 152);
AT(m_ext.ext_size, 160);
AT(m_ext.ext_free, 168);
AT(m_ext.ext_arg1, 176);
AT(m_ext.ext_arg2, 184);
AT(m_ext.ext_ref, 192);

int main(void)
{
	/* Where the bits are in their word. */
	struct mbuf m;
	uint32_t word;
	memset(&m, 0, sizeof(m));
	m.m_type = 0xf;
	m.m_flags = M_EXT | M_EOR | M_RDONLY | M_PRIV_COUNTED;
	memcpy(&word, (char *)&m + 44, sizeof(word));
	return word == (0xfu | 1u << 12 | 1u << 14 | 1u << 30 | 1u << 31) ? 0 : 1;
}
