// Addresses of both families in one form, and their way to and from the kernel's.
#ifndef PENSTOCK_ENGINE_ADDRESS_H_
#define PENSTOCK_ENGINE_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

namespace penstock::engine {

// An IPv4 address has its four bytes first and zeros after; the family tells which it is.
struct Address {
  uint8_t bytes[16] = {};
  uint16_t port = 0;  // host order
  uint8_t family = 0; // AF_INET or AF_INET6

  bool operator==(const Address& other) const {
    return port == other.port && family == other.family && memcmp(bytes, other.bytes, 16) == 0;
  }
  size_t size() const { return family == AF_INET ? 4 : 16; }
};

struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t length;
};

inline SocketAddress ToSocketAddress(const Address& address) {
  SocketAddress out;
  memset(&out, 0, sizeof out);
  if (address.family == AF_INET) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(address.port);
    memcpy(&out.v4.sin_addr, address.bytes, 4);
    out.length = sizeof out.v4;
  } else {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(address.port);
    memcpy(&out.v6.sin6_addr, address.bytes, 16);
    out.length = sizeof out.v6;
  }
  return out;
}

inline Address ToAddress(const sockaddr* from) {
  Address out;
  out.family = static_cast<uint8_t>(from->sa_family);
  if (from->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(from);
    memcpy(out.bytes, &v4->sin_addr, 4);
    out.port = ntohs(v4->sin_port);
  } else {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(from);
    memcpy(out.bytes, &v6->sin6_addr, 16);
    out.port = ntohs(v6->sin6_port);
  }
  return out;
}

// For tables in memory; not the hash that clients are balanced by.
inline uint64_t HashOf(const Address& address) {
  uint64_t first, second;
  memcpy(&first, address.bytes, 8);
  memcpy(&second, address.bytes + 8, 8);
  uint64_t hash = first * 0x9e3779b97f4a7c15ULL ^ (second + address.port) * 0xc2b2ae3d27d4eb4fULL;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93ULL;
  return hash ^ hash >> 32;
}

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_ADDRESS_H_
