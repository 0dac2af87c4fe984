/*
 * What client and backend of `npm run bench -- userspace` agree on.
 * TCP: a request is REQUEST_SIZE bytes, its first byte says what is wanted. UDP: the first byte of a datagram, likewise.
 */
#pragma once
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { REQUEST_SIZE = 64, REPLY_SIZE = 256, DATAGRAM_SIZE = 64, BULK_CHUNK = 256 * 1024 };
enum { ASK_REPLY = 'r', ASK_REPLY_AND_CLOSE = 'c', ASK_BULK = 'b', ASK_NOTHING = 'n' };

typedef struct sockaddr_in Address;

static inline long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

/* As many descriptors as the hard limit lets us have. */
static inline void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
}

/* "10.0.0.1:80,10.0.0.2:80" → addresses; returns how many. Changes the text. */
static inline int parse_addresses(char *text, Address *to, int most) {
  int count = 0;
  for (char *rest = text, *one; *text && (one = strsep(&rest, ",")) && count < most; count++) {
    char *port = strchr(one, ':');
    if (!port) { fprintf(stderr, "%s: no port\n", one); exit(2); }
    *port++ = 0;
    to[count] = (Address){.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, one, &to[count].sin_addr) != 1) { fprintf(stderr, "%s: no address\n", one); exit(2); }
  }
  return count;
}

/* "name=value" among the arguments, or the default. */
static inline char *option(int argc, char **argv, const char *name, char *otherwise) {
  size_t length = strlen(name);
  for (int i = 1; i < argc; i++)
    if (!strncmp(argv[i], name, length) && argv[i][length] == '=') return argv[i] + length + 1;
  return otherwise;
}
