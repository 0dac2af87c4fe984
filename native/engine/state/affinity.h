// Session affinity: which endpoint a client was sent to last, for all threads.
#ifndef PENSTOCK_ENGINE_AFFINITY_H_
#define PENSTOCK_ENGINE_AFFINITY_H_

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "../../service/address.h"
#include "../../service/service.h"
#include "snapshot.h"

namespace penstock::engine {

class Affinity {
 public:
  // Index into list.endpoints, kNobody when nothing is known or the endpoint is none of the list's.
  uint32_t Find(const Service& service, const EndpointList& list, const Address& client, uint64_t now_ms);

  // For the affinity time of the service from now on; should the time change meanwhile, for that one. `services`: those of
  // today, by which what is over is thrown away when there is too much.
  void Remember(const Snapshot& services, const Service& service, const Address& client, const Address& endpoint,
                uint64_t now_ms);

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
    uint64_t seen_ms;  // when it was sent there the last time
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Client, Place, ClientHash> places;
    size_t sweep_at = 1024;  // entries at which those that are over are thrown away
  };

  static void Sweep(Shard& shard, const Snapshot& services, uint64_t now_ms);

  Shard& ShardOf(const Client& client) { return shards_[ClientHash()(client) >> 7 & (kShards - 1)]; }

  static constexpr size_t kShards = 64;
  // Of a shard; a million clients together, 100 MB.
  static constexpr size_t kMostPlaces = 16'384;
  Shard shards_[kShards];
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_AFFINITY_H_
