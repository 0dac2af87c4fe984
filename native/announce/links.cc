#include "links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <system_error>

#include "filter.h"

namespace penstock::announce {

namespace {

constexpr uint16_t kProtocols[] = {ETH_P_ARP, ETH_P_IPV6};
// The announcements of some thousand addresses at once.
constexpr int kSendBuffer = 4 << 20;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

bool Attach(int socket, std::vector<sock_filter> code) {
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

Ip GroupOf(const Ip& address) {
  Ip group = address;
  const uint8_t prefix[] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  std::copy(std::begin(prefix), std::end(prefix), group.bytes.begin());
  return group;
}

ipv6_mreq Request(const Ip& group, int interface) {
  ipv6_mreq request{};
  memcpy(&request.ipv6mr_multiaddr, group.bytes.data(), 16);
  request.ipv6mr_interface = static_cast<unsigned>(interface);
  return request;
}

}  // namespace

LinkSockets::LinkSockets(int interface) : interface_(interface) {
  try {
    for (size_t i = 0; i < sockets_.size(); i++) {
      // Of no protocol until the filter is there: everything on the LAN would come in.
      const int socket = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (socket < 0) Fail("socket(AF_PACKET)");
      sockets_[i] = socket;
      if (!Attach(socket, {BPF_STMT(BPF_RET | BPF_K, 0)})) Fail("SO_ATTACH_FILTER");
      setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer);
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(kProtocols[i]);
      address.sll_ifindex = interface;
      if (bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("bind(AF_PACKET)");
    }
  } catch (...) {
    for (const int socket : sockets_) close(socket);
    throw;
  }
}

LinkSockets::~LinkSockets() {
  for (const int socket : sockets_) close(socket);
  for (const int socket : group_sockets_) close(socket);
}

void LinkSockets::SetWanted(const Core::Wanted& wanted) {
  const auto code = FilterFor(wanted);
  for (const int socket : sockets_) Attach(socket, code);
  std::set<Ip> groups;
  for (const Ip& address : wanted.groups) groups.insert(GroupOf(address));
  groups_.assign(groups.begin(), groups.end());
  for (auto each = joined_.begin(); each != joined_.end();) {
    if (groups.count(each->first) != 0) {
      ++each;
      continue;
    }
    const ipv6_mreq request = Request(each->first, interface_);
    setsockopt(each->second, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &request, sizeof request);
    each = joined_.erase(each);
  }
  RetryGroups();
}

void LinkSockets::RetryGroups() {
  for (const Ip& group : groups_)
    if (joined_.count(group) == 0 && !Join(group)) return;
}

bool LinkSockets::Join(const Ip& group) {
  const ipv6_mreq request = Request(group, interface_);
  for (int attempt = 0; attempt < 2; attempt++) {
    if (!group_sockets_.empty() && attempt == 0) {
      const int socket = group_sockets_.back();
      if (setsockopt(socket, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request) == 0) {
        joined_[group] = socket;
        return true;
      }
      if (errno != ENOBUFS && errno != ENOMEM) return false;
    } else {
      const int socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (socket < 0) return false;
      if (setsockopt(socket, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request) != 0) {
        close(socket);
        return false;
      }
      group_sockets_.push_back(socket);
      joined_[group] = socket;
      return true;
    }
  }
  return false;
}

bool LinkSockets::Send(const Frame& frame) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = interface_;
  to.sll_protocol = static_cast<uint16_t>(frame[12] | frame[13] << 8);
  to.sll_halen = 6;
  memcpy(to.sll_addr, frame.data(), 6);
  return sendto(sockets_[0], frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), sizeof to) >= 0;
}

}  // namespace penstock::announce
