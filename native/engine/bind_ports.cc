#include "bind_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <system_error>

#include "sockets.h"

namespace penstock::engine {

namespace {

constexpr int kBacklog = 4096;  // the kernel takes no more than net.core.somaxconn
constexpr int kUdpBufferBytes = 8 << 20;
struct Kind {
  uint8_t protocol;
  uint8_t family;
  Side side;
};

Address BoundAddress(const Kind& kind, uint16_t port) {
  Address address;
  address.family = kind.family;
  address.port = port;
  if (kind.side != Side::kUntranslated) return address;
  if (kind.family == AF_INET) address.bytes[0] = 127;
  address.bytes[kind.family == AF_INET ? 3 : 15] = 1;
  return address;
}

// -1 with errno.
int Open(const Kind& kind, uint16_t port) {
  const bool tcp = kind.protocol == IPPROTO_TCP;
  const int fd = socket(kind.family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (kind.family == AF_INET6) SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (tcp) {
    // Accepted sockets inherit these. A client that is gone without a word, or will never close its half, is noticed so.
    SetNoDelay(fd);
    SetKeepAlive(fd);
  } else {
    SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, kUdpBufferBytes);
    SetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, kUdpBufferBytes);
    if (kind.family == AF_INET) SetOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
    else SetOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  }
  if (kind.side == Side::kUntranslated) {
    // By this option the rules know that a cluster IP is answered by the proxy, and by nobody else of this host.
    const bool v4 = kind.family == AF_INET;
    const int on = 1;
    if (setsockopt(fd, v4 ? int{SOL_IP} : int{SOL_IPV6}, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, sizeof on) != 0) {
      const int error = errno;
      close(fd);
      errno = error;
      return -1;
    }
  }
  const SocketAddress address = ToSocketAddress(BoundAddress(kind, port));
  if (bind(fd, &address.any, address.length) == 0 && (!tcp || listen(fd, kBacklog) == 0)) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

class PortChoice {
 public:
  explicit PortChoice(const EngineOptions& options) : options_(options) {
    if (options.first_port != 0) {
      std::random_device random;
      next_ = options.first_port + random() % Count();
    }
  }

  // A socket on a port that nobody has, another process of ours included. Throws.
  ListeningSocket Take(const Kind& kind) {
    const size_t tries = options_.first_port == 0 ? 1 : Count();
    for (size_t i = 0; i < tries; i++) {
      const uint16_t port = options_.first_port == 0 ? 0 : Next();
      if (port != 0 && !IsFree(kind, port)) continue;
      const int fd = Open(kind, port);
      if (fd >= 0) return {fd, kind.protocol, kind.family, kind.side, OwnAddress(fd).port};
      if (errno != EADDRINUSE) break;
    }
    throw std::system_error(errno, std::generic_category(), "listening for redirected connections");
  }

 private:
  size_t Count() const { return size_t{1} + options_.last_port - options_.first_port; }
  uint16_t Next() {
    const uint16_t port = static_cast<uint16_t>(next_);
    next_ = next_ == options_.last_port ? options_.first_port : next_ + 1;
    return port;
  }
  // With SO_REUSEPORT another engine's port could be bound as well, and connections would go astray.
  static bool IsFree(const Kind& kind, uint16_t port) {
    const int type = kind.protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
    const int fd = socket(kind.family, type | SOCK_CLOEXEC, 0);
    const SocketAddress address = ToSocketAddress(BoundAddress(kind, port));
    if (kind.family == AF_INET6) SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    const bool free = bind(fd, &address.any, address.length) == 0;
    const int error = errno;
    close(fd);
    errno = error;
    return free;
  }

  const EngineOptions& options_;
  size_t next_ = 0;
};

}  // namespace

namespace {

// One for each thread, on one port. Throws; then there is none.
std::vector<ListeningSocket> BindKind(const Kind& kind, PortChoice& choice, size_t threads) {
  std::vector<ListeningSocket> sockets{choice.Take(kind)};
  const uint16_t port = sockets[0].port;
  while (sockets.size() < threads) {
    const int fd = Open(kind, port);
    if (fd < 0) {
      const int error = errno;
      for (const ListeningSocket& socket : sockets) close(socket.fd);
      throw std::system_error(error, std::generic_category(), "listening with another thread");
    }
    sockets.push_back({fd, kind.protocol, kind.family, kind.side, port});
  }
  return sockets;
}

std::vector<uint8_t> FamiliesOf(const EngineOptions& options) {
  return options.ipv6 ? std::vector<uint8_t>{AF_INET, AF_INET6} : std::vector<uint8_t>{AF_INET};
}

}  // namespace

std::vector<ListeningSocket> BindPorts(const EngineOptions& options) {
  std::vector<ListeningSocket> sockets;
  PortChoice choice(options);
  try {
    for (const uint8_t family : FamiliesOf(options)) {
      for (const uint8_t protocol : {IPPROTO_TCP, IPPROTO_UDP}) {
        for (const Side side : {Side::kInside, Side::kOutside}) {
          for (const ListeningSocket& socket : BindKind({protocol, family, side}, choice, options.threads))
            sockets.push_back(socket);
        }
      }
    }
  } catch (...) {
    for (const ListeningSocket& socket : sockets) close(socket.fd);
    throw;
  }
  return sockets;
}

std::vector<ListeningSocket> BindUntranslated(const EngineOptions& options) {
  std::vector<ListeningSocket> sockets;
  PortChoice choice(options);
  for (const uint8_t family : FamiliesOf(options)) {
    try {
      for (const ListeningSocket& socket :
           BindKind({IPPROTO_TCP, family, Side::kUntranslated}, choice, options.threads))
        sockets.push_back(socket);
    } catch (const std::system_error&) {
      // Redirected connections are served all the same.
    }
  }
  return sockets;
}

}  // namespace penstock::engine
