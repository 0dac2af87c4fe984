#include "pick.h"

#include <algorithm>

namespace penstock::engine {

namespace {

bool May(const Eligible& eligible, uint32_t index) { return eligible.empty() || eligible[index] != 0; }

uint32_t WeightAt(const std::vector<uint32_t>& sums, uint32_t index) {
  return index == 0 ? sums[0] : sums[index] - sums[index - 1];
}

// By lot among those that may, in proportion to their weights. `except` has no chance.
uint32_t DrawOne(const std::vector<uint32_t>& sums, const Eligible& eligible, uint32_t except, Random& random) {
  if (eligible.empty() && except == kNobody) {
    const uint32_t drawn = random.Below(sums.back());
    return static_cast<uint32_t>(std::upper_bound(sums.begin(), sums.end(), drawn) - sums.begin());
  }
  uint32_t total = 0;
  for (uint32_t i = 0; i < sums.size(); i++)
    if (i != except && May(eligible, i)) total += WeightAt(sums, i);
  if (total == 0) return kNobody;
  uint32_t drawn = random.Below(total);
  for (uint32_t i = 0; i < sums.size(); i++) {
    if (i == except || !May(eligible, i)) continue;
    const uint32_t weight = WeightAt(sums, i);
    if (drawn < weight) return i;
    drawn -= weight;
  }
  return kNobody;
}

uint64_t LoadOf(const EndpointList& list, const Cells& cells, uint32_t index) {
  return cells.endpoint(list.endpoints[index].cell).active.load(std::memory_order_relaxed);
}

// The less loaded of two, by connections for each unit of weight; the first of equals.
uint32_t PowerOfTwo(const EndpointList& list, const Eligible& eligible, const Cells& cells, Random& random) {
  const uint32_t first = DrawOne(list.prepared, eligible, kNobody, random);
  if (first == kNobody || list.endpoints.size() == 1) return first;
  const uint32_t second = DrawOne(list.prepared, eligible, first, random);
  if (second == kNobody) return first;
  const uint64_t first_load = LoadOf(list, cells, first) * WeightAt(list.prepared, second);
  const uint64_t second_load = LoadOf(list, cells, second) * WeightAt(list.prepared, first);
  return second_load < first_load ? second : first;
}

// The least loaded of all; where the search begins is drawn, so that equals share.
uint32_t LeastConnections(const EndpointList& list, const Eligible& eligible, const Cells& cells, Random& random) {
  const uint32_t count = static_cast<uint32_t>(list.endpoints.size());
  const uint32_t start = random.Below(count);
  uint32_t best = kNobody;
  uint64_t best_load = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t index = (start + i) % count;
    const uint32_t weight = list.prepared[index];
    if (weight == 0 || !May(eligible, index)) continue;
    const uint64_t load = LoadOf(list, cells, index);
    if (best != kNobody && load * list.prepared[best] >= best_load * weight) continue;
    best = index;
    best_load = load;
  }
  return best;
}

// From a place in the table on: whoever may be picked first.
uint32_t FromPlace(const EndpointList& list, const Eligible& eligible, uint64_t place) {
  const size_t size = list.prepared.size();
  for (size_t i = 0; i < size; i++) {
    const uint32_t index = list.prepared[(place + i) % size];
    if (May(eligible, index)) return index;
  }
  return kNobody;
}

uint32_t FirstThatMay(const EndpointList& list, const Eligible& eligible) {
  for (uint32_t i = 0; i < list.endpoints.size(); i++)
    if (May(eligible, i)) return i;
  return kNobody;
}

}  // namespace

uint32_t PickEndpoint(Algorithm algorithm, const EndpointList& list, const Eligible& eligible, const Cells& cells,
                      std::atomic<uint64_t>& cursor, uint32_t client_hash, Random& random) {
  if (list.endpoints.empty()) return kNobody;
  uint32_t picked = kNobody;
  switch (algorithm) {
    case Algorithm::kRandom:
      picked = DrawOne(list.prepared, eligible, kNobody, random);
      break;
    case Algorithm::kPowerOfTwo:
      picked = PowerOfTwo(list, eligible, cells, random);
      break;
    case Algorithm::kLeastConnections:
      picked = LeastConnections(list, eligible, cells, random);
      break;
    case Algorithm::kRoundRobin:
      picked = FromPlace(list, eligible, cursor.fetch_add(1, std::memory_order_relaxed));
      break;
    case Algorithm::kSourceHash:
    case Algorithm::kMaglev:
      picked = FromPlace(list, eligible, client_hash % list.prepared.size());
      break;
  }
  // Only endpoints of weight 0 are left: better one of them than nobody.
  return picked == kNobody ? FirstThatMay(list, eligible) : picked;
}

}  // namespace penstock::engine
