#include <arpa/inet.h>

#include <cstdio>

#include "connection.h"

namespace penstock::engine {

namespace {

std::vector<uint8_t> HeaderV1(const Address& client, const Address& destination) {
  char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[108];
  inet_ntop(client.family, client.bytes, from, sizeof from);
  inet_ntop(destination.family, destination.bytes, to, sizeof to);
  const int length = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n",
                              client.family == AF_INET ? "TCP4" : "TCP6", from, to, client.port, destination.port);
  return {line, line + length};
}

void Append(std::vector<uint8_t>* out, const void* data, size_t length) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  out->insert(out->end(), bytes, bytes + length);
}

std::vector<uint8_t> HeaderV2(const Address& client, const Address& destination) {
  static constexpr char kSignature[] = "\r\n\r\n\0\r\nQUIT\n";
  std::vector<uint8_t> out;
  Append(&out, kSignature, 12);
  const size_t size = client.size();
  const uint16_t length = htons(static_cast<uint16_t>(2 * size + 4));
  out.push_back(0x21);                                     // version 2, a connection that is passed on
  out.push_back(client.family == AF_INET ? 0x11 : 0x21);  // TCP over IPv4 or IPv6
  Append(&out, &length, sizeof length);
  Append(&out, client.bytes, size);
  Append(&out, destination.bytes, size);
  const uint16_t ports[2] = {htons(client.port), htons(destination.port)};
  Append(&out, ports, sizeof ports);
  return out;
}

}  // namespace

std::vector<uint8_t> ProxyHeader(ProxyProtocol version, const Address& client, const Address& destination) {
  return version == ProxyProtocol::kV1 ? HeaderV1(client, destination) : HeaderV2(client, destination);
}

}  // namespace penstock::engine
