#include "sockets.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace penstock::engine {

namespace {

// The port is one of our own choice: the client's may be in use to that endpoint already.
void BindToClient(int fd, const Address& client) {
  const bool v4 = client.family == AF_INET;
  SetOption(fd, v4 ? int{SOL_IP} : int{SOL_IPV6}, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1);
  SetOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  Address source = client;
  source.port = 0;
  const SocketAddress from = ToSocketAddress(source);
  // Not possible without CAP_NET_ADMIN; the endpoint then sees the node.
  [[maybe_unused]] const int bound = bind(fd, &from.any, from.length);
}

}  // namespace

void CloseWithReset(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

void SetOption(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

Address OwnAddress(int fd) {
  SocketAddress address{};
  address.length = sizeof address.v6;
  getsockname(fd, &address.any, &address.length);
  return ToAddress(&address.any);
}

int PendingError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

void SetNoDelay(int fd) { SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void SetKeepAlive(int fd) {
  constexpr int kIdleSeconds = 120;
  constexpr int kIntervalSeconds = 60;
  constexpr int kProbes = 3;
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kIntervalSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

int OpenSocket(uint8_t family, int type, uint32_t mark) {
  const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // Not possible without CAP_NET_ADMIN; the rules then take it for anybody's.
  if (fd >= 0 && mark != 0) SetOption(fd, SOL_SOCKET, SO_MARK, static_cast<int>(mark));
  return fd;
}

int DialEndpoint(const Service& service, const Endpoint& endpoint, const Address* source, FirstData first,
                 uint32_t mark) {
  const bool tcp = service.protocol == IPPROTO_TCP;
  const int fd = OpenSocket(service.family, tcp ? SOCK_STREAM : SOCK_DGRAM, mark);
  if (fd < 0) return -1;
  if (tcp && first == FirstData::kWaiting) SetOption(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
  if (source != nullptr) BindToClient(fd, *source);
  const SocketAddress to = ToSocketAddress(endpoint.address);
  if (connect(fd, &to.any, to.length) == 0 || errno == EINPROGRESS) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace penstock::engine
