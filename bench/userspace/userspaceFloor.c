/*
 * The least that a proxy does, to tell what is the kernel's: no NAT, no retries, no limits, no counts, no timers, no large transfers:
 *   userspaceFloor to=IP:PORT,… at=IP:PORT threads=N
 * The same system calls as the engine of mode userspace, but two: it sets no mark and asks for no original destination.
 */
#define _GNU_SOURCE
#include "userspace.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_ENDPOINTS = 64, AT_ONCE = 64, EVENTS = 256, BUFFER = 64 * 1024 };

struct connection;
struct side { int fd, ending, ended; struct connection *connection; struct side *other; };
struct connection { struct side client, server; int over; struct connection *next; };

static Address at, endpoints[MOST_ENDPOINTS];
static int endpoint_count;

struct worker { int poll, listener; unsigned turn; char *buffer; struct connection *over; };

static int listen_at(void) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 16384)) die("listen");
  return s;
}

static void watch(struct worker *w, struct side *s) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = s};
  if (epoll_ctl(w->poll, EPOLL_CTL_ADD, s->fd, &event)) die("epoll_ctl");
}

static void end(struct worker *w, struct connection *c) {
  close(c->client.fd);
  close(c->server.fd);
  /* Events of this round may still name it. */
  c->over = 1;
  c->next = w->over;
  w->over = c;
}

static void begin(struct worker *w, int fd) {
  struct connection *c = calloc(1, sizeof *c);
  int off = 0;
  ssize_t got = recv(fd, w->buffer, BUFFER, 0);
  c->client = (struct side){.fd = fd, .connection = c, .other = &c->server};
  c->server = (struct side){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .connection = c, .other = &c->client};
  if (got > 0) setsockopt(c->server.fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
  Address *to = &endpoints[w->turn++ % endpoint_count];
  connect(c->server.fd, (struct sockaddr *)to, sizeof *to);
  if (got == 0 || (got > 0 && send(c->server.fd, w->buffer, got, MSG_NOSIGNAL) != got)) { end(w, c); return; }
  watch(w, &c->server);
  watch(w, &c->client);
}

static void pass(struct worker *w, struct side *from) {
  ssize_t got = recv(from->fd, w->buffer, BUFFER, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0) {
    if (send(from->other->fd, w->buffer, got, MSG_NOSIGNAL | (from->ending ? MSG_MORE : 0)) != got) got = -1;
    else if (!from->ending) return;
  }
  from->ended = 1;
  if (got < 0 || from->other->ended) end(w, from->connection);
  else shutdown(from->other->fd, SHUT_WR);
}

static void *serve(void *number) {
  struct worker w = {.poll = epoll_create1(0), .listener = listen_at(), .turn = (unsigned)(long)number, .buffer = malloc(BUFFER)};
  struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
  if (epoll_ctl(w.poll, EPOLL_CTL_ADD, w.listener, &event)) die("epoll_ctl");
  for (;;) {
    int count = epoll_wait(w.poll, events, EVENTS, -1), accepted[AT_ONCE], fresh = 0;
    for (int i = 0; i < count; i++) {
      struct side *s = events[i].data.ptr;
      if (!s) {
        for (int fd; fresh < AT_ONCE && (fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) accepted[fresh++] = fd;
        continue;
      }
      if (s->connection->over) continue;
      if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->ending = 1;
      pass(&w, s);
    }
    for (int i = 0; i < fresh; i++) begin(&w, accepted[i]);
    for (struct connection *next; w.over; w.over = next) {
      next = w.over->next;
      free(w.over);
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  raise_descriptor_limit();
  endpoint_count = parse_addresses(option(argc, argv, "to", ""), endpoints, MOST_ENDPOINTS);
  if (endpoint_count < 1 || parse_addresses(option(argc, argv, "at", ""), &at, 1) != 1) {
    fprintf(stderr, "usage: userspaceFloor to=IP:PORT,… at=IP:PORT [threads=N]\n");
    return 2;
  }
  pthread_t last;
  for (long i = 0; i < atoi(option(argc, argv, "threads", "1")); i++)
    if (pthread_create(&last, NULL, serve, (void *)i)) die("pthread_create");
  pthread_join(last, NULL);
  return 1;
}
