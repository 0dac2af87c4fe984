#include "links.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace penstock::engine {

Links::~Links() {
  if (fd_ >= 0) close(fd_);
}

bool Links::AreNeighbours(const Address& a, const Address& b, uint64_t now_ms) {
  const uint32_t first = LinkOf(a, now_ms), second = LinkOf(b, now_ms);
  if (first == kUnknown || second == kUnknown) return true;
  return first != 0 && first == second;
}

uint32_t Links::LinkOf(const Address& address, uint64_t now_ms) {
  Address key = address;
  key.port = 0;
  const auto found = known_.find(key);
  if (found != known_.end() && found->second.until_ms > now_ms) return found->second.link;
  uint32_t link = kUnknown;
  if (!Ask(key, &link)) link = kUnknown;
  if (known_.size() >= kMost) known_.clear();
  known_[key] = {link, now_ms + kHoldsMs};
  return link;
}

// RTM_GETROUTE of one address (rtnetlink(7)): the answer names the link, and the router when there is one.
bool Links::Ask(const Address& address, uint32_t* link) {
  if (fd_ < 0) {
    fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd_ < 0) return false;
    // The kernel answers while it takes the request.
    const timeval patience{0, 100'000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  struct {
    nlmsghdr header;
    rtmsg route;
    rtattr attribute;
    uint8_t bytes[16];
  } request{};
  const size_t size = address.size();
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = ++sequence_;
  request.header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(sizeof(rtmsg)) + RTA_LENGTH(size));
  request.route.rtm_family = address.family;
  request.route.rtm_dst_len = static_cast<uint8_t>(size * 8);
  request.attribute.rta_type = RTA_DST;
  request.attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
  memcpy(request.bytes, address.bytes, size);
  if (send(fd_, &request, request.header.nlmsg_len, 0) < 0) return false;
  alignas(nlmsghdr) uint8_t reply[4096];
  for (;;) {
    const ssize_t got = recv(fd_, reply, sizeof reply, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(rtmsg)))) return false;
    const auto* header = reinterpret_cast<const nlmsghdr*>(reply);
    if (header->nlmsg_seq != sequence_) continue;
    if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len > static_cast<size_t>(got)) return false;
    size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(rtmsg));
    *link = 0;
    bool routed = false;
    for (auto* each = reinterpret_cast<const rtattr*>(reply + NLMSG_LENGTH(sizeof(rtmsg))); RTA_OK(each, left);
         each = RTA_NEXT(each, left)) {
      if (each->rta_type == RTA_OIF && RTA_PAYLOAD(each) == sizeof *link) memcpy(link, RTA_DATA(each), sizeof *link);
      if (each->rta_type == RTA_GATEWAY || each->rta_type == RTA_VIA) routed = true;
    }
    if (routed) *link = 0;
    return true;
  }
}

}  // namespace penstock::engine
