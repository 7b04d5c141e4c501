/* Names of types that BSD code uses and a strict C library hides. */
#ifndef MBUF_TYPES_H
#define MBUF_TYPES_H

typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
typedef unsigned long u_long;
typedef char *caddr_t;
typedef const char *c_caddr_t;

#endif /* MBUF_TYPES_H */
