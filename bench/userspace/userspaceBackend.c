/*
 * The endpoints behind the proxies that are compared:
 *   userspaceBackend tcp=IP:PORT,… udp=IP:PORT,… threads=N counter=FILE
 * TCP requests get a fixed reply, a reply and a close, or bytes without end; datagrams get themselves back or nothing.
 * FILE holds one 64-bit number: how many datagrams have come. Prints "listening", then runs until it is killed.
 */
#define _GNU_SOURCE
#include "userspace.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_ADDRESSES = 64, BATCH = 64, MOST_DESCRIPTORS = 1 << 20 };
enum Kind { CONNECTION, LISTENER, DATAGRAMS };

static Address tcp[MOST_ADDRESSES], udp[MOST_ADDRESSES];
static int tcp_count, udp_count;
static _Atomic uint64_t *datagrams;
static char chunk[BULK_CHUNK];
/* By descriptor: how much of a request has come, and what it asks for. */
static struct { uint8_t got, ask; } requests[MOST_DESCRIPTORS];

static int bound_socket(int type, const Address *at) {
  int s = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, space = 8 << 20;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (type == SOCK_DGRAM) setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space);
  if (bind(s, (const struct sockaddr *)at, sizeof *at)) die("bind");
  if (type == SOCK_STREAM && listen(s, 16384)) die("listen");
  return s;
}

static void watch(int poll, int how, int fd, enum Kind kind, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | (uint32_t)fd};
  if (epoll_ctl(poll, how, fd, &event)) die("epoll_ctl");
}

static void accept_all(int poll, int listener) {
  int on = 1, fd;
  for (int i = 0; i < BATCH && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; i++) {
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    requests[fd].got = 0;
    watch(poll, EPOLL_CTL_ADD, fd, CONNECTION, EPOLLIN);
  }
}

static void send_bulk(int fd) {
  for (int i = 0; i < 4; i++) {
    ssize_t sent = send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) { close(fd); return; }
    if (sent < (ssize_t)sizeof chunk) return;
  }
}

static void read_requests(int poll, int fd) {
  char buffer[REQUEST_SIZE * 16];
  ssize_t length = recv(fd, buffer, sizeof buffer, 0);
  if (length < 0 && errno == EAGAIN) return;
  if (length <= 0) { close(fd); return; }
  if (requests[fd].got == 0) requests[fd].ask = buffer[0];
  int total = requests[fd].got + length;
  requests[fd].got = total % REQUEST_SIZE;
  for (int whole = total / REQUEST_SIZE; whole > 0; whole--) {
    if (requests[fd].ask == ASK_BULK) { watch(poll, EPOLL_CTL_MOD, fd, CONNECTION, EPOLLOUT); return; }
    if (send(fd, chunk, REPLY_SIZE, MSG_NOSIGNAL) != REPLY_SIZE || requests[fd].ask == ASK_REPLY_AND_CLOSE) {
      close(fd);
      return;
    }
  }
}

static void answer_datagrams(int fd) {
  static _Thread_local struct mmsghdr messages[BATCH];
  static _Thread_local struct iovec parts[BATCH];
  static _Thread_local Address from[BATCH];
  static _Thread_local char data[BATCH][2048];
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){data[i], sizeof data[i]};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  int count = recvmmsg(fd, messages, BATCH, 0, NULL), replies = 0;
  if (count <= 0) return;
  atomic_fetch_add_explicit(datagrams, count, memory_order_relaxed);
  for (int i = 0; i < count; i++) {
    if (data[i][0] == ASK_NOTHING) continue;
    parts[i].iov_len = messages[i].msg_len;
    messages[replies++] = messages[i];
  }
  /* What does not fit is lost, as on any network; the client counts what comes back. */
  if (replies > 0) sendmmsg(fd, messages, replies, 0);
}

static void *serve(void *unused) {
  (void)unused;
  int poll = epoll_create1(0);
  for (int i = 0; i < tcp_count; i++)
    watch(poll, EPOLL_CTL_ADD, bound_socket(SOCK_STREAM, &tcp[i]), LISTENER, EPOLLIN);
  for (int i = 0; i < udp_count; i++)
    watch(poll, EPOLL_CTL_ADD, bound_socket(SOCK_DGRAM, &udp[i]), DATAGRAMS, EPOLLIN);
  struct epoll_event events[BATCH];
  for (;;) {
    int count = epoll_wait(poll, events, BATCH, -1);
    for (int i = 0; i < count; i++) {
      int fd = (int)(uint32_t)events[i].data.u64;
      switch ((enum Kind)(events[i].data.u64 >> 32)) {
        case LISTENER: accept_all(poll, fd); break;
        case DATAGRAMS: answer_datagrams(fd); break;
        case CONNECTION:
          if (events[i].events & EPOLLOUT) send_bulk(fd);
          else read_requests(poll, fd);
      }
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  raise_descriptor_limit();
  tcp_count = parse_addresses(option(argc, argv, "tcp", ""), tcp, MOST_ADDRESSES);
  udp_count = parse_addresses(option(argc, argv, "udp", ""), udp, MOST_ADDRESSES);
  int file = open(option(argc, argv, "counter", ""), O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, sizeof *datagrams)) die("counter");
  datagrams = mmap(NULL, sizeof *datagrams, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (datagrams == MAP_FAILED) die("mmap");
  memset(chunk, 'x', sizeof chunk);
  int threads = atoi(option(argc, argv, "threads", "1"));
  pthread_t last;
  for (int i = 0; i < threads; i++)
    if (pthread_create(&last, NULL, serve, NULL)) die("pthread_create");
  /* The threads' listeners need a moment; a client that comes before them would be refused. */
  struct timespec moment = {.tv_nsec = 100000000};
  nanosleep(&moment, NULL);
  puts("listening");
  fflush(stdout);
  pthread_join(last, NULL);
  return 1;
}
