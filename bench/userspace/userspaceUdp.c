/*
 * Datagrams through a proxy:
 *   userspaceUdp MODE to=IP:PORT,… ms=N flows=N window=N
 * `echo`: every flow (a socket of its own) keeps `window` datagrams on the way, each answer makes room for the next.
 * `flood`: sends as fast as it can and waits for nothing; the backend counts what comes through.
 * Prints one line of JSON.
 */
#define _GNU_SOURCE
#include "userspace.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_FLOWS = 4096, BATCH = 32, MOST_TARGETS = 64 };
/* An answer that is later than this is lost. */
static const long LOST_AFTER_NS = 100000000;

struct flow { int fd; int on_the_way; long last_ns; };

static struct mmsghdr out[BATCH], in[BATCH];
static struct iovec out_parts[BATCH], in_parts[BATCH];
static char question[DATAGRAM_SIZE], answers[BATCH][2048];
static long sent, answered, lost, refused;

static int send_some(int fd, int count) {
  int done = sendmmsg(fd, out, count < BATCH ? count : BATCH, 0);
  if (done > 0) sent += done;
  else if (errno == ECONNREFUSED) refused++;
  return done > 0 ? done : 0;
}

static void fill(struct flow *flow, int window) {
  while (flow->on_the_way < window) {
    int done = send_some(flow->fd, window - flow->on_the_way);
    if (done == 0) return;
    flow->on_the_way += done;
  }
}

static void read_answers(struct flow *flow) {
  int count = recvmmsg(flow->fd, in, BATCH, MSG_DONTWAIT, NULL);
  if (count <= 0) {
    if (count < 0 && errno == ECONNREFUSED) refused++;
    return;
  }
  answered += count;
  /* An answer that had been given up for lost still comes. */
  flow->on_the_way = flow->on_the_way > count ? flow->on_the_way - count : 0;
}

static void echo(struct flow *flows, int count, int window, long end) {
  int poll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &flows[i]};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, flows[i].fd, &event)) die("epoll_ctl");
    flows[i].last_ns = now_ns();
    fill(&flows[i], window);
  }
  struct epoll_event events[BATCH];
  long now, look = now_ns() + LOST_AFTER_NS / 4;
  while ((now = now_ns()) < end) {
    int ready = epoll_wait(poll, events, BATCH, 10);
    for (int i = 0; i < ready; i++) {
      struct flow *flow = events[i].data.ptr;
      read_answers(flow);
      flow->last_ns = now;
      fill(flow, window);
    }
    if (now < look) continue;
    look = now + LOST_AFTER_NS / 4;
    for (int i = 0; i < count; i++) {
      if (now - flows[i].last_ns < LOST_AFTER_NS) continue;
      lost += flows[i].on_the_way;
      flows[i].on_the_way = 0;
      flows[i].last_ns = now;
      fill(&flows[i], window);
    }
  }
}

static void flood(struct flow *flows, int count, long end) {
  for (int i = 0; now_ns() < end; i = (i + 1) % count) send_some(flows[i].fd, BATCH);
}

int main(int argc, char **argv) {
  static Address to[MOST_TARGETS];
  static struct flow flows[MOST_FLOWS];
  raise_descriptor_limit();
  int targets = parse_addresses(option(argc, argv, "to", ""), to, MOST_TARGETS);
  int count = atoi(option(argc, argv, "flows", "64")), window = atoi(option(argc, argv, "window", "8"));
  int echoing = argc > 1 && !strcmp(argv[1], "echo");
  if (targets == 0 || count < 1 || count > MOST_FLOWS || (!echoing && (argc < 2 || strcmp(argv[1], "flood")))) {
    fprintf(stderr, "usage: userspaceUdp echo|flood to=IP:PORT,… [ms=N] [flows=N] [window=N]\n");
    return 2;
  }
  question[0] = echoing ? ASK_REPLY : ASK_NOTHING;
  for (int i = 0; i < BATCH; i++) {
    out_parts[i] = (struct iovec){question, sizeof question};
    out[i].msg_hdr = (struct msghdr){.msg_iov = &out_parts[i], .msg_iovlen = 1};
    in_parts[i] = (struct iovec){answers[i], sizeof answers[i]};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
  }
  for (int i = 0; i < count; i++) {
    flows[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(flows[i].fd, (struct sockaddr *)&to[i % targets], sizeof *to)) die("connect");
  }
  long start = now_ns(), end = start + atol(option(argc, argv, "ms", "1000")) * 1000000;
  if (echoing) echo(flows, count, window, end);
  else flood(flows, count, end);
  printf("{\"seconds\": %.6f, \"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"refused\": %ld}\n",
         (now_ns() - start) / 1e9, sent, answered, lost, refused);
  return 0;
}
