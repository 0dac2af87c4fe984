/*
 * Connections per second, with as little else as possible:
 *   connect server PORT            accepts and closes, until it is killed
 *   connect client IP PORT MS [N]  opens and resets one connection after the other for MS milliseconds, N of them at a time, prints how
 *                                  many, p50 and p99 of what connect() took, and the processor time of the client, in microseconds
 * The client resets (SO_LINGER 0), so neither side keeps TIME_WAIT sockets and ports do not run out.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

enum { MOST_THREADS = 64, MOST_TIMES = 1 << 20 };

struct caller {
  pthread_t thread;
  struct sockaddr_in to;
  double until;
  long done, failed;
  float *times;
};

static void *call(void *argument) {
  struct caller *own = argument;
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  while (now_ms() < own->until) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    double began = now_ms();
    if (connect(s, (struct sockaddr *)&own->to, sizeof own->to)) own->failed++;
    else if (own->done++ < MOST_TIMES) own->times[own->done - 1] = (now_ms() - began) * 1e3;
    close(s);
  }
  return NULL;
}

static double own_cpu_us(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static int by_size(const void *a, const void *b) {
  return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static int connect_for(const char *ip, int port, double ms, int at_once) {
  static struct caller callers[MOST_THREADS];
  long done = 0, failed = 0, kept = 0;
  double start = now_ms();
  for (int i = 0; i < at_once; i++) {
    struct caller *one = &callers[i];
    one->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &one->to.sin_addr);
    one->until = start + ms;
    one->times = malloc(MOST_TIMES * sizeof(float));
    if (one->times == NULL || pthread_create(&one->thread, NULL, call, one)) return fail("thread");
  }
  for (int i = 0; i < at_once; i++) pthread_join(callers[i].thread, NULL);
  double took = now_ms() - start, cpu = own_cpu_us();
  float *all = malloc((size_t)at_once * MOST_TIMES * sizeof(float));
  if (all == NULL) return fail("malloc");
  for (int i = 0; i < at_once; i++) {
    long own = callers[i].done < MOST_TIMES ? callers[i].done : MOST_TIMES;
    memcpy(all + kept, callers[i].times, own * sizeof(float));
    kept += own;
    done += callers[i].done;
    failed += callers[i].failed;
  }
  qsort(all, kept, sizeof(float), by_size);
  printf("{\"perSecond\": %.1f, \"failed\": %ld, \"p50\": %.1f, \"p99\": %.1f, \"done\": %ld, \"cpu\": %.0f}\n",
         done * 1000.0 / took, failed, kept ? all[kept / 2] : 0, kept ? all[kept * 99 / 100] : 0, done, cpu);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "server")) return serve(atoi(argv[2]));
  int at_once = argc == 6 ? atoi(argv[5]) : 1;
  if ((argc == 5 || argc == 6) && !strcmp(argv[1], "client") && at_once >= 1 && at_once <= MOST_THREADS)
    return connect_for(argv[2], atoi(argv[3]), atof(argv[4]), at_once);
  fprintf(stderr, "usage: connect server PORT | connect client IP PORT MS [N]\n");
  return 2;
}
