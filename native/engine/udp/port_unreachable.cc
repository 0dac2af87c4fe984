#include "port_unreachable.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

#include <cstring>

namespace penstock::engine {

namespace {

uint16_t Checksum(const uint8_t* data, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += static_cast<uint32_t>(data[i] << 8 | data[i + 1]);
  if (length % 2 != 0) sum += static_cast<uint32_t>(data[length - 1] << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

udphdr UdpHeader(const Address& client, const Address& local) {
  udphdr udp{};
  udp.source = htons(client.port);
  udp.dest = htons(local.port);
  udp.len = htons(sizeof udp);
  return udp;
}

// RFC 792: the IP header and the first eight bytes of what it carried.
size_t BuildV4(uint8_t* out, const Address& client, const Address& local) {
  icmphdr icmp{};
  icmp.type = ICMP_DEST_UNREACH;
  icmp.code = ICMP_PORT_UNREACH;
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(sizeof ip + sizeof(udphdr));
  memcpy(&ip.saddr, client.bytes, 4);
  memcpy(&ip.daddr, local.bytes, 4);
  ip.check = Checksum(reinterpret_cast<const uint8_t*>(&ip), sizeof ip);
  const udphdr udp = UdpHeader(client, local);
  memcpy(out, &icmp, sizeof icmp);
  memcpy(out + sizeof icmp, &ip, sizeof ip);
  memcpy(out + sizeof icmp + sizeof ip, &udp, sizeof udp);
  const size_t length = sizeof icmp + sizeof ip + sizeof udp;
  icmp.checksum = Checksum(out, length);
  memcpy(out, &icmp, sizeof icmp);
  return length;
}

// RFC 4443; the kernel adds the checksum.
size_t BuildV6(uint8_t* out, const Address& client, const Address& local) {
  icmp6_hdr icmp{};
  icmp.icmp6_type = ICMP6_DST_UNREACH;
  icmp.icmp6_code = ICMP6_DST_UNREACH_NOPORT;
  ip6_hdr ip{};
  ip.ip6_flow = htonl(6u << 28);
  ip.ip6_plen = htons(sizeof(udphdr));
  ip.ip6_nxt = IPPROTO_UDP;
  ip.ip6_hlim = 64;
  memcpy(&ip.ip6_src, client.bytes, 16);
  memcpy(&ip.ip6_dst, local.bytes, 16);
  const udphdr udp = UdpHeader(client, local);
  memcpy(out, &icmp, sizeof icmp);
  memcpy(out + sizeof icmp, &ip, sizeof ip);
  memcpy(out + sizeof icmp + sizeof ip, &udp, sizeof udp);
  return sizeof icmp + sizeof ip + sizeof udp;
}

}  // namespace

int OpenIcmpSocket(uint8_t family) {
  const int protocol = family == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  const int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  // It only sends.
  if (fd >= 0) {
    const int none = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
  }
  return fd;
}

void SendPortUnreachable(int icmp, const Address& client, const Address& local) {
  if (icmp < 0) return;
  uint8_t packet[128];
  const size_t length = client.family == AF_INET ? BuildV4(packet, client, local) : BuildV6(packet, client, local);
  Address to = client;
  to.port = 0;
  SocketAddress address = ToSocketAddress(to);
  iovec vector{packet, length};
  alignas(8) uint8_t control[64] = {};
  auto* header = reinterpret_cast<cmsghdr*>(control);
  msghdr message{};
  message.msg_name = &address.any;
  message.msg_namelen = address.length;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  if (client.family == AF_INET) {
    in_pktinfo info{};
    memcpy(&info.ipi_spec_dst, local.bytes, 4);
    *header = {CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
    memcpy(CMSG_DATA(header), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  } else {
    in6_pktinfo info{};
    memcpy(&info.ipi6_addr, local.bytes, 16);
    *header = {CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
    memcpy(CMSG_DATA(header), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  }
  // A client that does not hear of it only waits.
  [[maybe_unused]] const ssize_t sent = sendmsg(icmp, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace penstock::engine
