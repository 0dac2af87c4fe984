#include "affinity.h"

#include <algorithm>

#include "../../service/pick.h"

namespace penstock::engine {

namespace {

// A client is its address; the port differs with each connection.
Address WithoutPort(Address client) {
  client.port = 0;
  return client;
}

// The clocks of two threads may differ by a round.
bool IsOver(uint64_t seen_ms, const Service& service, uint64_t now_ms) {
  return seen_ms + service.affinity_ms <= now_ms;
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
    if (IsOver(found->second.seen_ms, service, now_ms)) {
      shard.places.erase(found);
      return kNobody;
    }
    endpoint = found->second.endpoint;
  }
  for (uint32_t i = 0; i < list.endpoints.size(); i++)
    if (list.endpoints[i].address == endpoint) return i;
  return kNobody;
}

void Affinity::Remember(const Snapshot& services, const Service& service, const Address& client,
                        const Address& endpoint, uint64_t now_ms) {
  const Client key{service.cell, WithoutPort(client)};
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  shard.places[key] = {endpoint, now_ms};
  if (shard.places.size() >= shard.sweep_at) Sweep(shard, services, now_ms);
}

// Throws away what is over, and, if that is not enough, half of the service that has most: no other pays for it.
void Affinity::Sweep(Shard& shard, const Snapshot& services, uint64_t now_ms) {
  std::unordered_map<uint32_t, size_t> counts;
  for (auto place = shard.places.begin(); place != shard.places.end();) {
    const ServicePointer* service = services.ByCell(place->first.service);
    const bool over = service == nullptr || IsOver(place->second.seen_ms, **service, now_ms);
    if (!over) counts[place->first.service]++;
    place = over ? shard.places.erase(place) : std::next(place);
  }
  while (shard.places.size() > kMostPlaces / 2) {
    const auto most = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    size_t left = (most->second + 1) / 2;
    most->second -= left;
    for (auto place = shard.places.begin(); place != shard.places.end() && left > 0;) {
      const bool leaves = place->first.service == most->first;
      if (leaves) left--;
      place = leaves ? shard.places.erase(place) : std::next(place);
    }
  }
  shard.sweep_at = std::max<size_t>(1024, shard.places.size() * 2);
}

}  // namespace penstock::engine
