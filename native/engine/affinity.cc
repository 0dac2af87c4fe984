#include "affinity.h"

#include <algorithm>

#include "pick.h"

namespace penstock::engine {

namespace {

// A client is its address; the port differs with each connection.
Address WithoutPort(Address client) {
  client.port = 0;
  return client;
}

}  // namespace

uint32_t Affinity::Find(const Service& service, const EndpointList& list, const Address& client, uint64_t now_ms) {
  const Client key{service.cell, WithoutPort(client)};
  Shard& shard = ShardOf(key);
  Address endpoint;
  {
    const std::lock_guard<std::mutex> lock(shard.mutex);
    const auto found = shard.places.find(key);
    if (found == shard.places.end()) return kNobody;
    if (found->second.until_ms <= now_ms) {
      shard.places.erase(found);
      return kNobody;
    }
    endpoint = found->second.endpoint;
  }
  for (uint32_t i = 0; i < list.endpoints.size(); i++)
    if (list.endpoints[i].address == endpoint) return i;
  return kNobody;
}

void Affinity::Remember(const Service& service, const Address& client, const Address& endpoint, uint64_t now_ms) {
  const Client key{service.cell, WithoutPort(client)};
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  shard.places[key] = {endpoint, now_ms + service.affinity_ms};
  if (shard.places.size() < shard.sweep_at) return;
  for (auto place = shard.places.begin(); place != shard.places.end();)
    place = place->second.until_ms <= now_ms ? shard.places.erase(place) : std::next(place);
  shard.sweep_at = std::max<size_t>(1024, shard.places.size() * 2);
}

}  // namespace penstock::engine
