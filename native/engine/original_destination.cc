#include "original_destination.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace penstock::engine {

namespace {

// linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which cannot be included beside netinet/in.h.
constexpr int kSoOriginalDst = 80;

class MessageBuilder {
 public:
  explicit MessageBuilder(uint8_t* buffer) : buffer_(buffer) {}

  void Put(const void* data, size_t length) {
    memcpy(buffer_ + length_, data, length);
    length_ += length;
    while (length_ % 4 != 0) buffer_[length_++] = 0;
  }
  void Attribute(uint16_t type, const void* data, uint16_t length) {
    const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + length), type};
    Put(&header, sizeof header);
    Put(data, length);
  }
  size_t Begin(uint16_t type) {
    const size_t at = length_;
    const nlattr header{0, static_cast<uint16_t>(type | NLA_F_NESTED)};
    Put(&header, sizeof header);
    return at;
  }
  void End(size_t at) {
    const uint16_t length = static_cast<uint16_t>(length_ - at);
    memcpy(buffer_ + at, &length, sizeof length);
  }
  size_t length() const { return length_; }

 private:
  uint8_t* buffer_;
  size_t length_ = 0;
};

// The attribute `type` among those in [data, data+length); nullptr when there is none.
const uint8_t* FindAttribute(const uint8_t* data, size_t length, uint16_t type, size_t* size) {
  while (length >= NLA_HDRLEN) {
    nlattr header;
    memcpy(&header, data, sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > length) return nullptr;
    if ((header.nla_type & NLA_TYPE_MASK) == type) {
      *size = header.nla_len - NLA_HDRLEN;
      return data + NLA_HDRLEN;
    }
    const size_t step = NLA_ALIGN(header.nla_len);
    if (step > length) return nullptr;
    data += step;
    length -= step;
  }
  return nullptr;
}

bool ReadDestination(const uint8_t* message, size_t length, uint8_t family, Address* destination) {
  size_t size = 0, ip_size = 0, proto_size = 0;
  const uint8_t* tuple = FindAttribute(message, length, CTA_TUPLE_ORIG, &size);
  if (tuple == nullptr) return false;
  const uint8_t* ip = FindAttribute(tuple, size, CTA_TUPLE_IP, &ip_size);
  const uint8_t* proto = FindAttribute(tuple, size, CTA_TUPLE_PROTO, &proto_size);
  if (ip == nullptr || proto == nullptr) return false;
  size_t address_size = 0, port_size = 0;
  const uint8_t* address =
      FindAttribute(ip, ip_size, family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST, &address_size);
  const uint8_t* port = FindAttribute(proto, proto_size, CTA_PROTO_DST_PORT, &port_size);
  *destination = {};
  destination->family = family;
  if (address == nullptr || port == nullptr || address_size != destination->size() || port_size != 2) return false;
  memcpy(destination->bytes, address, address_size);
  destination->port = static_cast<uint16_t>(port[0] << 8 | port[1]);
  return true;
}

}  // namespace

bool OriginalDestination(int fd, uint8_t family, Address* destination) {
  SocketAddress address;
  address.length = sizeof address.v6;
  if (getsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, kSoOriginalDst, &address.any,
                 &address.length) != 0)
    return false;
  *destination = ToAddress(&address.any);
  return true;
}

ConnectionTracking::ConnectionTracking() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER)) {
  // The kernel answers while it takes the request, so an answer that is not there never comes.
  const timeval patience{0, 100'000};
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

ConnectionTracking::~ConnectionTracking() {
  if (fd_ >= 0) close(fd_);
}

// nf_conntrack_netlink.c, ctnetlink_get_conntrack: looks up a tuple of either direction. Ours is that of the answers.
bool ConnectionTracking::Find(uint8_t protocol, const Address& client, const Address& local, Address* destination) {
  if (fd_ < 0) return false;
  alignas(4) uint8_t request[256];
  MessageBuilder builder(request);
  nlmsghdr header{};
  header.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
  header.nlmsg_flags = NLM_F_REQUEST;
  header.nlmsg_seq = ++sequence_;
  builder.Put(&header, sizeof header);
  const nfgenmsg family{client.family, NFNETLINK_V0, 0};
  builder.Put(&family, sizeof family);
  const size_t tuple = builder.Begin(CTA_TUPLE_REPLY);
  const size_t ip = builder.Begin(CTA_TUPLE_IP);
  const bool v4 = client.family == AF_INET;
  const uint16_t size = static_cast<uint16_t>(client.size());
  builder.Attribute(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, local.bytes, size);
  builder.Attribute(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, client.bytes, size);
  builder.End(ip);
  const size_t proto = builder.Begin(CTA_TUPLE_PROTO);
  const uint16_t ports[2] = {htons(local.port), htons(client.port)};
  builder.Attribute(CTA_PROTO_NUM, &protocol, 1);
  builder.Attribute(CTA_PROTO_SRC_PORT, &ports[0], 2);
  builder.Attribute(CTA_PROTO_DST_PORT, &ports[1], 2);
  builder.End(proto);
  builder.End(tuple);
  const uint32_t length = static_cast<uint32_t>(builder.length());
  memcpy(request, &length, sizeof length);
  if (send(fd_, request, length, 0) < 0) return false;

  alignas(4) uint8_t reply[8192];
  for (;;) {
    const ssize_t got = recv(fd_, reply, sizeof reply, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < static_cast<ssize_t>(NLMSG_HDRLEN)) return false;
    nlmsghdr answer;
    memcpy(&answer, reply, sizeof answer);
    if (answer.nlmsg_seq != sequence_) continue;  // of a request whose answer was not waited for
    const size_t skip = NLMSG_HDRLEN + sizeof(nfgenmsg);
    if (answer.nlmsg_type == NLMSG_ERROR || answer.nlmsg_len > static_cast<size_t>(got) || answer.nlmsg_len < skip)
      return false;
    return ReadDestination(reply + skip, answer.nlmsg_len - skip, client.family, destination);
  }
}

}  // namespace penstock::engine
