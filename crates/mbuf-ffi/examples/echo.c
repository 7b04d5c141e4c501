/*
 * An echo server: every datagram goes back to where it came from, by way of a chain of mbufs and without being copied.
 *
 *     cc echo.c $(pkg-config --cflags --libs mbuf) -o echo
 *     ./echo 7777
 *
 * With a second argument it ends after so many datagrams.
 */
#include <mbuf.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGEST 65535
#define PIECES 512

/* A chain with room for the largest datagram; `iov` shows the room of each mbuf. Returns how many there are. */
static int room(struct mbuf *m, struct iovec *iov)
{
	int n = 0;
	for (; m != NULL && n < PIECES; m = m->m_next, n++) {
		iov[n].iov_base = m->m_data;
		iov[n].iov_len = (size_t)M_TRAILINGSPACE(m);
	}
	return n;
}

/* What was read into the chain becomes its data; the mbufs that were not needed are freed. */
static void filled(struct mbuf *m, int len)
{
	m->m_pkthdr.len = len;
	for (;;) {
		const int space = (int)M_TRAILINGSPACE(m);
		m->m_len = len < space ? len : space;
		len -= m->m_len;
		if (len == 0)
			break;
		m = m->m_next;
	}
	m_freem(m->m_next);
	m->m_next = NULL;
}

static int data(const struct mbuf *m, struct iovec *iov)
{
	int n = 0;
	for (; m != NULL && n < PIECES; m = m->m_next, n++) {
		iov[n].iov_base = m->m_data;
		iov[n].iov_len = (size_t)m->m_len;
	}
	return n;
}

static int serve(int s)
{
	struct sockaddr_storage from;
	struct iovec iov[PIECES];
	struct msghdr msg;
	struct mbuf *m;
	ssize_t n;

	m = m_getm2(NULL, LARGEST, M_WAITOK, MT_DATA, M_PKTHDR);
	if (m == NULL)
		return -1;
	memset(&msg, 0, sizeof(msg));
	msg.msg_name = &from;
	msg.msg_namelen = sizeof(from);
	msg.msg_iov = iov;
	msg.msg_iovlen = (size_t)room(m, iov);
	n = recvmsg(s, &msg, 0);
	if (n >= 0) {
		filled(m, (int)n);
		msg.msg_iovlen = (size_t)data(m, iov);
		n = sendmsg(s, &msg, 0);
	}
	m_freem(m);
	return n < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in here;
	socklen_t len = sizeof(here);
	struct mbstat stat;
	long left = argc > 2 ? atol(argv[2]) : -1;
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	memset(&here, 0, sizeof(here));
	here.sin_family = AF_INET;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) != 0 ||
	    getsockname(s, (struct sockaddr *)&here, &len) != 0) {
		perror("echo");
		return 1;
	}
	printf("listening on port %d\n", ntohs(here.sin_port));
	fflush(stdout);
	for (; left != 0; left -= left > 0) {
		if (serve(s) != 0)
			perror("echo");
	}
	close(s);
	mbuf_stat(&stat);
	printf("mbufs in use: %lu\n", stat.m_mbufs);
	return 0;
}
