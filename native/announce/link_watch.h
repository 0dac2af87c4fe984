// Carriers and hardware addresses of interfaces, as the kernel tells them (rtnetlink).
#ifndef PENSTOCK_ANNOUNCE_LINK_WATCH_H_
#define PENSTOCK_ANNOUNCE_LINK_WATCH_H_

#include <functional>

#include "address.h"

namespace penstock::announce {

struct LinkState {
  int interface;
  bool up;  // and with a carrier
  bool gone;
  Mac mac;
};

class LinkWatch {
 public:
  // Throws std::system_error.
  LinkWatch();
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  int socket() const { return socket_; }
  // Asks for the state of all; the answers come as changes do.
  void AskAll();
  void Read(const std::function<void(const LinkState&)>& tell);

 private:
  int socket_;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_LINK_WATCH_H_
