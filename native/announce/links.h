// The sockets of one interface: packet sockets for what is asked and said on the LAN, and memberships in the multicast groups in
// which IPv6 neighbours are asked for.
#ifndef PENSTOCK_ANNOUNCE_LINKS_H_
#define PENSTOCK_ANNOUNCE_LINKS_H_

#include <array>
#include <map>
#include <string>
#include <vector>

#include "address.h"
#include "core.h"
#include "frames.h"

namespace penstock::announce {

class LinkSockets {
 public:
  // Throws std::system_error. Lets nothing in before SetWanted().
  explicit LinkSockets(int interface);
  ~LinkSockets();
  LinkSockets(const LinkSockets&) = delete;
  LinkSockets& operator=(const LinkSockets&) = delete;

  // ARP, IPv6. Non-blocking.
  const std::array<int, 2>& sockets() const { return sockets_; }
  void SetWanted(const Core::Wanted& wanted);
  // False when the kernel has no room for the frame, or the interface is down.
  bool Send(const Frame& frame);
  // The carrier is back: memberships are made again that failed meanwhile.
  void RetryGroups();

 private:
  bool Join(const Ip& group);

  int interface_;
  std::array<int, 2> sockets_ = {-1, -1};
  // One socket holds so many memberships as its memory allows.
  std::vector<int> group_sockets_;
  std::map<Ip, int> joined_;
  std::vector<Ip> groups_;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_LINKS_H_
