// Where a redirected connection was meant to go: what the kernel's connection tracking remembers of it.
#ifndef PENSTOCK_ENGINE_ORIGINAL_DESTINATION_H_
#define PENSTOCK_ENGINE_ORIGINAL_DESTINATION_H_

#include <cstdint>

#include "../service/address.h"

namespace penstock::engine {

// For TCP. False when the kernel does not know.
bool OriginalDestination(int fd, uint8_t family, Address* destination);

// For UDP, which has no such socket option: asks ctnetlink. One netlink socket a thread.
class ConnectionTracking {
 public:
  ConnectionTracking();
  ~ConnectionTracking();
  ConnectionTracking(const ConnectionTracking&) = delete;
  ConnectionTracking& operator=(const ConnectionTracking&) = delete;

  // Of datagrams that came from `client` to our `local` address. False when the kernel does not know.
  bool Find(uint8_t protocol, const Address& client, const Address& local, Address* destination);

 private:
  int fd_;
  uint32_t sequence_ = 0;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_ORIGINAL_DESTINATION_H_
