/* The library, loaded while the program runs, with threads that began before and after. Its file is the argument. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>
#include <mbuf.h>
#include "check.h"

#define PACKETS 100

static struct mbuf *(*getcl)(int, int, int);
static void (*freem)(struct mbuf *);
static pthread_barrier_t loaded;

static void *use(void *early)
{
	struct mbuf *packets[PACKETS];
	int round, i;
	if (early != NULL)
		pthread_barrier_wait(&loaded);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < PACKETS; i++) {
			packets[i] = getcl(M_NOWAIT, MT_DATA, M_PKTHDR);
			CHECK(packets[i] != NULL && packets[i]->m_pkthdr.len == 0);
		}
		for (i = 0; i < PACKETS; i++)
			freem(packets[i]);
	}
	return NULL;
}

/* A function by its name: ISO C has no pointer that could be either. */
static void find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);
	CHECK(symbol != NULL);
	memcpy(function, &symbol, sizeof(symbol));
}

int main(int argc, char **argv)
{
	void (*stat)(struct mbstat *);
	struct mbstat now;
	pthread_t early, late;
	void *library;
	CHECK(argc == 2);
	CHECK(pthread_barrier_init(&loaded, NULL, 2) == 0 && pthread_create(&early, NULL, use, &loaded) == 0);
	library = dlopen(argv[1], RTLD_NOW);
	if (library == NULL)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(library != NULL);
	find(library, "m_getcl", &getcl);
	find(library, "m_freem", &freem);
	find(library, "mbuf_stat", &stat);
	pthread_barrier_wait(&loaded);
	CHECK(pthread_create(&late, NULL, use, NULL) == 0);
	use(NULL);
	CHECK(pthread_join(early, NULL) == 0 && pthread_join(late, NULL) == 0);
	stat(&now);
	CHECK_INT(now.m_mbufs, 0);
	CHECK(now.m_clfree > 0);
	return 0;
}
