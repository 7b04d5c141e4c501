#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                              \
	do {                                                                     \
		if (!(what)) {                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                                 \
		}                                                                \
	} while (0)

#define CHECK_INT(got, wanted)                                                                          \
	do {                                                                                            \
		long got_ = (long)(got), wanted_ = (long)(wanted);                                      \
		if (got_ != wanted_) {                                                                  \
			fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", __FILE__, __LINE__, #got, got_, wanted_); \
			exit(1);                                                                        \
		}                                                                                       \
	} while (0)
