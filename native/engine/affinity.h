// Session affinity: which endpoint a client was sent to last, for all threads.
#ifndef PENSTOCK_ENGINE_AFFINITY_H_
#define PENSTOCK_ENGINE_AFFINITY_H_

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "address.h"
#include "service.h"

namespace penstock::engine {

class Affinity {
 public:
  // Index into list.endpoints, kNobody when nothing is known or the endpoint is none of the list's.
  uint32_t Find(const Service& service, const EndpointList& list, const Address& client, uint64_t now_ms);

  // From now on for service.affinity_ms.
  void Remember(const Service& service, const Address& client, const Address& endpoint, uint64_t now_ms);

 private:
  struct Client {
    uint32_t service;
    Address address;
    bool operator==(const Client& other) const { return service == other.service && address == other.address; }
  };
  struct ClientHash {
    size_t operator()(const Client& client) const { return HashOf(client.address) ^ client.service; }
  };
  struct Place {
    Address endpoint;
    uint64_t until_ms;
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Client, Place, ClientHash> places;
    size_t sweep_at = 1024;  // entries at which those that are over are thrown away
  };

  Shard& ShardOf(const Client& client) { return shards_[ClientHash()(client) >> 7 & (kShards - 1)]; }

  static constexpr size_t kShards = 64;
  Shard shards_[kShards];
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_AFFINITY_H_
