#include "link_watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <system_error>

namespace penstock::announce {

namespace {

// linux/if.h, which cannot be included beside net/if.h.
constexpr unsigned kLowerUp = 1 << 16;

void Decode(const nlmsghdr* message, const std::function<void(const LinkState&)>& tell) {
  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) return;
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return;
  const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  // A bridge tells of its ports in the same group.
  if (info->ifi_family != AF_UNSPEC) return;
  LinkState state{info->ifi_index, (info->ifi_flags & IFF_UP) != 0 && (info->ifi_flags & kLowerUp) != 0,
                  message->nlmsg_type == RTM_DELLINK, kNoMac};
  size_t left = IFLA_PAYLOAD(message);
  for (auto* attribute = IFLA_RTA(info); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(attribute) == state.mac.size())
      memcpy(state.mac.data(), RTA_DATA(attribute), state.mac.size());
  }
  tell(state);
}

}  // namespace

LinkWatch::LinkWatch() {
  socket_ = ::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (socket_ < 0 || bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close(socket_);
    throw std::system_error(error, std::generic_category(), "socket(NETLINK_ROUTE)");
  }
}

LinkWatch::~LinkWatch() { close(socket_); }

void LinkWatch::AskAll() {
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  // While a dump runs another is refused (EBUSY); what changes meanwhile is told anyway.
  send(socket_, &request, sizeof request, 0);
}

void LinkWatch::Read(const std::function<void(const LinkState&)>& tell) {
  alignas(nlmsghdr) char buffer[32768];
  for (;;) {
    sockaddr_nl from{};
    socklen_t from_length = sizeof from;
    const ssize_t length = recvfrom(socket_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &from_length);
    if (length < 0 && errno == ENOBUFS) {
      AskAll();
      continue;
    }
    if (length < 0) return;
    // Only the kernel's word counts.
    if (from.nl_pid != 0) continue;
    size_t left = static_cast<size_t>(length);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
      Decode(message, tell);
  }
}

}  // namespace penstock::announce
