// For LD_PRELOAD: epoll refuses connections to port 8080 that were given bytes already, as it does when the user has no
// watches left (ENOSPC). Nothing else can make that happen to one process alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <linux/tcp.h>

static int was_given_bytes(int fd) {
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  if (getpeername(fd, (struct sockaddr*)&peer, &length) != 0 || peer.sin_family != AF_INET || ntohs(peer.sin_port) != 8080)
    return 0;
  struct tcp_info info;
  memset(&info, 0, sizeof info);
  length = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_data_segs_out > 0;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event* event) {
  static int (*next)(int, int, int, struct epoll_event*);
  if (next == 0) next = (int (*)(int, int, int, struct epoll_event*))dlsym(RTLD_NEXT, "epoll_ctl");
  if (operation == EPOLL_CTL_ADD && was_given_bytes(fd)) {
    errno = ENOSPC;
    return -1;
  }
  return next(epoll, operation, fd, event);
}
