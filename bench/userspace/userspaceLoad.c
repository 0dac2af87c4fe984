/*
 * Connections and requests through a proxy:
 *   userspaceLoad MODE to=IP:PORT,… ms=N connections=N threads=N rate=N
 * `connect`    a new connection, one request, its reply, the backend closes; over and over
 * `keepalive`  requests over connections that stay
 * `bulk`       each connection downloads without end
 * `idle`       opens the connections, one request each, prints, and holds them until it is killed
 * With a rate (requests a second) `connect` and `keepalive` are open loop: requests are due at fixed times, however slow
 * the replies are, and latency counts from when a request was due; late99 is how late requests left this program.
 * Prints one line of JSON; latencies in microseconds.
 */
#define _GNU_SOURCE
#include "userspace.h"
#include "userspaceHistogram.h"
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_TARGETS = 64, BATCH = 256, OPENING_AT_ONCE = 128 };
/* After the end of an open loop: how long replies may still come. */
static const long GRACE_NS = 500000000;
/* How long the connections of an open loop may take to be there before it begins. */
static const long OPENING_NS = 2000000000;
enum Mode { CONNECT, KEEPALIVE, BULK, IDLE };

struct slot { int fd, got, busy, asked; long due_ns; struct slot *next_free; };

struct worker {
  pthread_t thread;
  int poll, count, busy, next_target;
  double rate;
  long end_ns, done, bytes, failed, unfinished;
  int first_error;
  struct slot *slots, *free;
  struct histogram latencies, lateness;
};

static enum Mode mode;
static Address to[MOST_TARGETS];
static int targets;
static char request[REQUEST_SIZE];

static void ask(struct worker *w, struct slot *s);

static void drop(struct slot *s) {
  close(s->fd);
  s->fd = -1;
}

static void release_slot(struct worker *w, struct slot *s) {
  s->busy = 0;
  s->next_free = w->free;
  w->free = s;
}

static void release(struct worker *w, struct slot *s) {
  w->busy--;
  release_slot(w, s);
}

static void free_all(struct worker *w) {
  w->free = NULL;
  w->busy = 0;
  for (int i = 0; i < w->count; i++) release_slot(w, &w->slots[i]);
}

static void fail(struct worker *w, struct slot *s, int error) {
  w->failed++;
  if (!w->first_error) w->first_error = error;
  drop(s);
  release(w, s);
}

static void finish(struct worker *w, struct slot *s, long now) {
  w->done++;
  record(&w->latencies, now - s->due_ns);
  if (mode == CONNECT) drop(s);
  release(w, s);
}

static void start(struct worker *w, long due_ns) {
  struct slot *s = w->free;
  w->free = s->next_free;
  w->busy++;
  s->busy = 1;
  s->got = s->asked = 0;
  s->due_ns = due_ns;
  if (s->fd >= 0) { ask(w, s); return; }
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (s->fd < 0) die("socket");
  int on = 1;
  setsockopt(s->fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
  Address *target = &to[w->next_target++ % targets];
  if (connect(s->fd, (struct sockaddr *)target, sizeof *target) && errno != EINPROGRESS) {
    fail(w, s, errno);
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s};
  if (epoll_ctl(w->poll, EPOLL_CTL_ADD, s->fd, &event)) die("epoll_ctl");
}

static void ask(struct worker *w, struct slot *s) {
  s->asked = 1;
  if (send(s->fd, request, sizeof request, MSG_NOSIGNAL) != sizeof request) fail(w, s, errno);
}

static void read_bulk(struct worker *w, struct slot *s) {
  static _Thread_local char buffer[BULK_CHUNK];
  for (;;) {
    ssize_t length = recv(s->fd, buffer, sizeof buffer, 0);
    if (length > 0) { w->bytes += length; if (now_ns() < w->end_ns) continue; return; }
    if (length < 0 && errno == EAGAIN) return;
    fail(w, s, length < 0 ? errno : ECONNRESET);
    return;
  }
}

static void read_reply(struct worker *w, struct slot *s) {
  char buffer[REPLY_SIZE * 2];
  for (;;) {
    ssize_t length = recv(s->fd, buffer, sizeof buffer, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length < 0) { fail(w, s, errno); return; }
    s->got += length;
    int complete = s->got == REPLY_SIZE;
    if (length == 0 && !(mode == CONNECT && complete)) { fail(w, s, ECONNRESET); return; }
    if (length == 0 || (mode != CONNECT && complete)) { finish(w, s, now_ns()); return; }
  }
}

static void handle(struct worker *w, struct epoll_event *event) {
  struct slot *s = event->data.ptr;
  if (s->fd < 0) return;
  if (!s->busy) {
    /* Nothing was asked: only an end can have come. */
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) { w->failed++; w->first_error = ECONNRESET; drop(s); }
    return;
  }
  if (!s->asked) {
    if (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) ask(w, s);
    return;
  }
  if (!(event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (mode == BULK) read_bulk(w, s);
  else read_reply(w, s);
}

/* Waits for events until a time, and handles them. */
static void turn(struct worker *w, long until_ns) {
  struct epoll_event events[BATCH];
  long left = until_ns - now_ns();
  struct timespec wait = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
  if (left < 0) wait = (struct timespec){0};
  int count = epoll_pwait2(w->poll, events, BATCH, &wait, NULL);
  for (int i = 0; i < count; i++) handle(w, &events[i]);
}

static void closed_loop(struct worker *w) {
  long now;
  while ((now = now_ns()) < w->end_ns) {
    while (w->free && now_ns() < w->end_ns) start(w, now_ns());
    turn(w, w->end_ns);
  }
}

/* Starts what is due by now, as far as slots are free; what finds none waits, and its latency has begun. */
static void start_due(struct worker *w, long *next, long begin, double gap, long by_ns) {
  for (long due; w->free && (due = begin + (long)(*next * gap)) <= by_ns; ++*next) {
    record(&w->lateness, now_ns() - due);
    start(w, due);
  }
}

/* With connections that stay, an open loop begins when all of them are there: opening some in a hurry would be measured. */
static void open_all(struct worker *w, long until_ns) {
  int opened = 0;
  while (w->done + w->failed < w->count && now_ns() < until_ns) {
    while (opened < w->count && w->busy < OPENING_AT_ONCE) {
      w->free = &w->slots[opened++];
      start(w, now_ns());
    }
    turn(w, until_ns);
  }
}

static void open_loop(struct worker *w) {
  if (mode == KEEPALIVE) {
    long length = w->end_ns - now_ns();
    open_all(w, now_ns() + OPENING_NS);
    w->done = 0;
    memset(&w->latencies, 0, sizeof w->latencies);
    free_all(w);
    w->end_ns = now_ns() + length;
  }
  long begin = now_ns(), next = 0, now;
  double gap = 1e9 / w->rate;
  while ((now = now_ns()) < w->end_ns) {
    start_due(w, &next, begin, gap, now);
    long due = begin + (long)(next * gap);
    turn(w, w->free && due < w->end_ns ? due : w->end_ns);
  }
  long last = (long)((w->end_ns - begin) / gap);
  while (now_ns() < w->end_ns + GRACE_NS && (w->busy > 0 || next < last)) {
    start_due(w, &next, begin, gap, w->end_ns);
    turn(w, w->end_ns + GRACE_NS);
  }
  now = now_ns();
  for (; next < last; next++, w->unfinished++) record(&w->latencies, now - (begin + (long)(next * gap)));
  for (int i = 0; i < w->count; i++) {
    if (!w->slots[i].busy) continue;
    w->unfinished++;
    record(&w->latencies, now - w->slots[i].due_ns);
  }
}

static void open_and_hold(struct worker *w) {
  long begin = now_ns();
  open_all(w, w->end_ns);
  printf("{\"seconds\": %.6f, \"done\": %ld, \"failed\": %ld, \"error\": \"%s\"}\n", (now_ns() - begin) / 1e9, w->done,
         w->count - w->done, w->first_error ? strerror(w->first_error) : "");
  fflush(stdout);
  pause();
}

static void *work(void *argument) {
  struct worker *w = argument;
  w->poll = epoll_create1(0);
  /* The default slack of 50 µs would be most of what an open loop measures. */
  prctl(PR_SET_TIMERSLACK, 1);
  for (int i = 0; i < w->count; i++) w->slots[i].fd = -1;
  free_all(w);
  if (mode == IDLE) open_and_hold(w);
  else if (w->rate > 0) open_loop(w);
  else closed_loop(w);
  return NULL;
}

int main(int argc, char **argv) {
  static const char *names[] = {"connect", "keepalive", "bulk", "idle"};
  static const char asks[] = {ASK_REPLY_AND_CLOSE, ASK_REPLY, ASK_BULK, ASK_REPLY};
  while (argc > 1 && mode <= IDLE && strcmp(argv[1], names[mode])) mode++;
  targets = parse_addresses(option(argc, argv, "to", ""), to, MOST_TARGETS);
  int threads = atoi(option(argc, argv, "threads", "1")), connections = atoi(option(argc, argv, "connections", "64"));
  if (argc < 2 || mode > IDLE || targets < 1 || threads < 1 || connections < threads) {
    fprintf(stderr, "usage: userspaceLoad connect|keepalive|bulk|idle to=IP:PORT,… [ms=N] [connections=N] [threads=N] [rate=N]\n");
    return 2;
  }
  if (mode == IDLE) threads = 1;
  request[0] = asks[mode];
  raise_descriptor_limit();
  struct worker *workers = calloc(threads, sizeof *workers), sum = {0};
  long begin = now_ns(), end = begin + atol(option(argc, argv, "ms", "1000")) * 1000000;
  for (int i = 0; i < threads; i++) {
    struct worker *w = &workers[i];
    w->count = connections / threads;
    w->slots = calloc(w->count, sizeof *w->slots);
    w->rate = atof(option(argc, argv, "rate", "0")) / threads;
    w->next_target = i;
    w->end_ns = end;
    if (pthread_create(&w->thread, NULL, work, w)) die("pthread_create");
  }
  for (int i = 0; i < threads; i++) {
    struct worker *w = &workers[i];
    pthread_join(w->thread, NULL);
    sum.done += w->done;
    sum.bytes += w->bytes;
    sum.failed += w->failed;
    sum.unfinished += w->unfinished;
    if (w->first_error) sum.first_error = w->first_error;
    merge(&sum.latencies, &w->latencies);
    merge(&sum.lateness, &w->lateness);
  }
  printf("{\"seconds\": %.6f, \"done\": %ld, \"bytes\": %ld, \"failed\": %ld, \"unfinished\": %ld, \"error\": \"%s\", "
         "\"p50\": %.1f, \"p99\": %.1f, \"late99\": %.1f}\n",
         (end - begin) / 1e9, sum.done, sum.bytes, sum.failed, sum.unfinished,
         sum.first_error ? strerror(sum.first_error) : "", quantile_us(&sum.latencies, 0.5),
         quantile_us(&sum.latencies, 0.99), quantile_us(&sum.lateness, 0.99));
  return 0;
}
