// The routing table of the engine: which service port a destination belongs to. Immutable; an update makes a new one, which
// shares with the one before what has not changed, so that its cost follows from the change alone.
#ifndef PENSTOCK_ENGINE_SNAPSHOT_H_
#define PENSTOCK_ENGINE_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../../service/hash_trie.h"
#include "../../service/service.h"

namespace penstock::engine {

class Snapshot {
 public:
  struct Found {
    const ServicePointer* service = nullptr;  // lives as long as the snapshot
    KeyKind kind = KeyKind::kInternal;
  };

  // Where a packet went before the kernel redirected it. A VIP comes before a node port.
  Found Find(uint8_t protocol, const Address& destination) const;

  // Whether connections to the endpoint would be for a Service again: its address is a VIP that is not the node's own, or it
  // is a node port here. They would go in circles.
  bool IsService(uint8_t protocol, const Endpoint& endpoint) const;

  const ServicePointer* ByCell(uint32_t cell) const;

  // Reads an update (src/dataplane/userspace/encodeServices.ts) on top of `before`. nullptr with `error` set when the
  // bytes are not one; `before` then stays in force.
  static std::shared_ptr<const Snapshot> Apply(const Snapshot& before, const uint8_t* data, size_t length,
                                               std::string* error);

 private:
  // Who is reached at an address. Those whose keys have the same hash form a chain, by number of the service port.
  struct Claim {
    Address address;
    uint8_t protocol = 0;
    KeyKind kind = KeyKind::kInternal;
    uint32_t cell = 0;
    std::shared_ptr<const Claim> next;
  };
  using ClaimPointer = std::shared_ptr<const Claim>;

  static uint64_t KeyOf(uint8_t protocol, const Address& address, bool node_port);
  static ClaimPointer With(ClaimPointer chain, const Claim& claim);
  static ClaimPointer Without(const ClaimPointer& chain, uint32_t cell);

  const Claim* Lookup(uint8_t protocol, const Address& address, bool node_port) const;
  void AddKeys(Editor editor, const Service& service);
  void RemoveKeys(Editor editor, const Service& service);

  HashTrie<Service> services_;  // by cell
  HashTrie<Claim> claims_;      // by KeyOf
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SNAPSHOT_H_
