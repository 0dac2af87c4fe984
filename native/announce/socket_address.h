// Addresses as the socket calls want them.
#ifndef PENSTOCK_ANNOUNCE_SOCKET_ADDRESS_H_
#define PENSTOCK_ANNOUNCE_SOCKET_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include "address.h"

namespace penstock::announce {

inline socklen_t FillAddress(const Ip& ip, uint16_t port, sockaddr_storage* out) {
  *out = {};
  if (ip.v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(out);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, ip.bytes.data(), 16);
    return sizeof *in6;
  }
  auto* in = reinterpret_cast<sockaddr_in*>(out);
  in->sin_family = AF_INET;
  in->sin_port = htons(port);
  memcpy(&in->sin_addr, ip.bytes.data(), 4);
  return sizeof *in;
}

inline Ip AddressOf(const sockaddr_storage& from) {
  const bool v6 = from.ss_family == AF_INET6;
  return Ip::From(v6 ? reinterpret_cast<const uint8_t*>(&reinterpret_cast<const sockaddr_in6*>(&from)->sin6_addr)
                     : reinterpret_cast<const uint8_t*>(&reinterpret_cast<const sockaddr_in*>(&from)->sin_addr),
                  v6);
}


}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_SOCKET_ADDRESS_H_
