/*
 * Datagrams as fast as one thread sends them: lbFlood IP PORT MS. Each comes from another port of 64, so that they are of many
 * flows. Prints how many were handed to the kernel.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SOCKETS = 64, BATCH = 32, SIZE = 64 };

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: lbFlood IP PORT MS\n"), 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  double ms = atof(argv[3]);
  int sockets[SOCKETS];
  char payload[SIZE] = {0};
  struct iovec part = {payload, SIZE};
  struct mmsghdr batch[BATCH];
  memset(batch, 0, sizeof batch);
  for (int i = 0; i < BATCH; i++) batch[i].msg_hdr.msg_iov = &part, batch[i].msg_hdr.msg_iovlen = 1;
  for (int i = 0; i < SOCKETS; i++) {
    sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(sockets[i], (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
  }
  long sent = 0;
  double start = now_ms();
  for (int i = 0; now_ms() - start < ms; i = (i + 1) % SOCKETS) {
    int n = sendmmsg(sockets[i], batch, BATCH, 0);
    if (n > 0) sent += n;
  }
  printf("{\"sent\": %ld, \"ms\": %.1f}\n", sent, now_ms() - start);
  return 0;
}
