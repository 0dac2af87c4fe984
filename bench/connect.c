/*
 * Connections per second, with as little else as possible:
 *   connect server PORT            accepts and closes, until it is killed
 *   connect client IP PORT MS      opens and resets one connection after the other for MS milliseconds, prints how many
 * The client resets (SO_LINGER 0), so neither side keeps TIME_WAIT sockets and ports do not run out.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

static int serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) return fail("listen");
  puts("listening");
  fflush(stdout);
  for (;;) {
    int client = accept(listener, NULL, NULL);
    if (client >= 0) close(client);
  }
}

static int connect_for(const char *ip, int port, double ms) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  long done = 0, failed = 0;
  inet_pton(AF_INET, ip, &to.sin_addr);
  double start = now_ms();
  while (now_ms() - start < ms) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) failed++;
    else done++;
    close(s);
  }
  printf("{\"perSecond\": %.1f, \"failed\": %ld}\n", done * 1000.0 / (now_ms() - start), failed);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "server")) return serve(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "client")) return connect_for(argv[2], atoi(argv[3]), atof(argv[4]));
  fprintf(stderr, "usage: connect server PORT | connect client IP PORT MS\n");
  return 2;
}
