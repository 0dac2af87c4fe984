// Through which link this host reaches an address (rtnetlink), remembered for some seconds. One for each thread.
#ifndef PENSTOCK_ENGINE_LINKS_H_
#define PENSTOCK_ENGINE_LINKS_H_

#include <cstdint>
#include <unordered_map>

#include "../../service/address.h"

namespace penstock::engine {

class Links {
 public:
  Links() = default;
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  // Whether both are neighbours on one link, without a router between: what one sends the other may not pass this host.
  // True as well when the kernel does not tell.
  bool AreNeighbours(const Address& a, const Address& b, uint64_t now_ms);

 private:
  // Index of the link; 0: behind a router.
  uint32_t LinkOf(const Address& address, uint64_t now_ms);
  bool Ask(const Address& address, uint32_t* link);

  static constexpr uint64_t kHoldsMs = 5'000;
  static constexpr size_t kMost = 4096;
  static constexpr uint32_t kUnknown = UINT32_MAX;
  struct Known {
    uint32_t link;
    uint64_t until_ms;
  };
  struct HashAddress {
    size_t operator()(const Address& address) const { return HashOf(address); }
  };

  int fd_ = -1;
  uint32_t sequence_ = 0;
  std::unordered_map<Address, Known, HashAddress> known_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_LINKS_H_
