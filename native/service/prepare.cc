#include "prepare.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock::engine {

namespace {

// src/balancing/reducedWeights.ts
std::vector<uint32_t> ReducedWeights(const std::vector<Endpoint>& endpoints) {
  uint32_t divisor = 0;
  for (const Endpoint& endpoint : endpoints) divisor = std::gcd(divisor, uint32_t{endpoint.weight});
  std::vector<uint32_t> weights;
  for (const Endpoint& endpoint : endpoints) weights.push_back(divisor == 0 ? 1 : endpoint.weight / divisor);
  return weights;
}

std::vector<uint32_t> RunningSums(const std::vector<uint32_t>& weights) {
  std::vector<uint32_t> sums(weights.size());
  std::partial_sum(weights.begin(), weights.end(), sums.begin());
  return sums;
}

// src/balancing/slots.ts
constexpr uint32_t kMaxSlots = 4096;

uint32_t Sum(const std::vector<uint32_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), uint32_t{0});
}

std::vector<uint32_t> Fitted(const std::vector<uint32_t>& weights, uint32_t most) {
  const uint32_t limit = std::min(most, kMaxSlots);
  if (Sum(weights) <= limit) return weights;
  const auto scaled = [&](double factor) {
    std::vector<uint32_t> out;
    for (const uint32_t weight : weights)
      out.push_back(weight == 0 ? 0 : std::max<uint32_t>(1, static_cast<uint32_t>(std::floor(weight * factor + 0.5))));
    return out;
  };
  double fits = 0, too_much = 1;
  for (int i = 0; i < 30; i++) {
    const double middle = (fits + too_much) / 2;
    if (Sum(scaled(middle)) <= limit) fits = middle;
    else too_much = middle;
  }
  return scaled(fits);
}

// The smooth weighted round robin of nginx.
std::vector<uint32_t> TakeTurns(const std::vector<uint32_t>& serving, const std::vector<uint32_t>& counts,
                                uint32_t total) {
  std::vector<int64_t> wealth(serving.size());
  std::vector<uint32_t> slots;
  while (slots.size() < total) {
    size_t richest = 0;
    for (size_t i = 0; i < serving.size(); i++) {
      wealth[i] += counts[serving[i]];
      if (wealth[i] > wealth[richest]) richest = i;
    }
    wealth[richest] -= total;
    slots.push_back(serving[richest]);
  }
  return slots;
}

// The k-th of an endpoint's n slots lies at (2k + 1) / 2n of the whole.
std::vector<uint32_t> PlaceEvenly(const std::vector<uint32_t>& serving, const std::vector<uint32_t>& counts) {
  struct Place {
    uint32_t endpoint;
    uint64_t odd, count;
  };
  std::vector<Place> places;
  for (const uint32_t endpoint : serving)
    for (uint32_t k = 0; k < counts[endpoint]; k++) places.push_back({endpoint, 2 * uint64_t{k} + 1, counts[endpoint]});
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    const uint64_t left = a.odd * b.count, right = b.odd * a.count;
    return left != right ? left < right : a.endpoint < b.endpoint;
  });
  std::vector<uint32_t> slots;
  for (const Place& place : places) slots.push_back(place.endpoint);
  return slots;
}

std::vector<uint32_t> Interleaved(const std::vector<uint32_t>& counts) {
  constexpr size_t kTurnsUpTo = 128;
  std::vector<uint32_t> serving;
  for (uint32_t i = 0; i < counts.size(); i++)
    if (counts[i] != 0) serving.push_back(i);
  const uint32_t total = Sum(counts);
  if (total == serving.size()) return serving;
  return serving.size() <= kTurnsUpTo ? TakeTurns(serving, counts, total) : PlaceEvenly(serving, counts);
}

// src/balancing/maglev.ts
constexpr uint32_t kMaglevSizes[] = {4093, 16381, 65521};
constexpr uint32_t kSmallerMaglevSizes[] = {16381, 4093, 1021, 251, 61};
constexpr uint32_t kEntriesPerWeight = 100;

struct Row {
  uint32_t endpoint;
  std::string target;
  uint32_t weight;
  uint32_t next, step;
  uint64_t served = 0;
};

uint32_t Murmur3Text(const std::string& text, uint32_t seed) {
  return Murmur3(reinterpret_cast<const uint8_t*>(text.data()), text.size(), seed);
}

uint32_t MaglevSize(uint64_t weight_sum, uint32_t rows, uint32_t most) {
  uint32_t size = kMaglevSizes[2];
  for (const uint32_t each : kMaglevSizes) {
    if (each < weight_sum * kEntriesPerWeight) continue;
    size = each;
    break;
  }
  if (size > most) {
    size = 0;
    for (const uint32_t each : kSmallerMaglevSizes) {
      if (each > most) continue;
      size = each;
      break;
    }
  }
  return std::max(size, rows);
}

std::vector<uint32_t> MaglevTable(const std::vector<Endpoint>& endpoints, const std::vector<uint32_t>& weights,
                                  uint32_t most) {
  std::vector<Row> rows;
  for (uint32_t i = 0; i < endpoints.size(); i++)
    if (weights[i] > 0) rows.push_back({i, TargetOf(endpoints[i].address), weights[i], 0, 0});
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.target < b.target; });
  if (rows.empty()) return {};
  const uint32_t size = MaglevSize(Sum(weights), static_cast<uint32_t>(rows.size()), most);
  if (size == rows.size()) {
    std::vector<uint32_t> each_once;
    for (const Row& row : rows) each_once.push_back(row.endpoint);
    return each_once;
  }
  uint32_t heaviest = 0;
  for (Row& row : rows) {
    heaviest = std::max(heaviest, row.weight);
    row.next = Murmur3Text(row.target, 0) % size;
    row.step = Murmur3Text(row.target, 1) % (size - 1) + 1;
  }
  constexpr uint32_t kFree = UINT32_MAX;
  std::vector<uint32_t> table(size, kFree);
  uint32_t free = size;
  for (uint64_t round = 1; free > 0; round++) {
    for (Row& row : rows) {
      if (free == 0) break;
      if (round * row.weight < row.served) continue;
      row.served += heaviest;
      while (table[row.next] != kFree) row.next = (row.next + row.step) % size;
      table[row.next] = row.endpoint;
      free--;
    }
  }
  return table;
}

uint32_t Rotated(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

}  // namespace

uint32_t Murmur3(const uint8_t* data, size_t length, uint32_t seed) {
  const auto scrambled = [](uint32_t value) { return Rotated(value * 0xcc9e2d51, 15) * 0x1b873593; };
  uint32_t hash = seed;
  size_t at = 0;
  for (; at + 4 <= length; at += 4) {
    const uint32_t word = data[at] | data[at + 1] << 8 | data[at + 2] << 16 | uint32_t{data[at + 3]} << 24;
    hash = Rotated(hash ^ scrambled(word), 13) * 5 + 0xe6546b64;
  }
  uint32_t rest = 0;
  for (size_t i = 0; at + i < length; i++) rest |= uint32_t{data[at + i]} << 8 * i;
  hash ^= scrambled(rest);
  hash ^= static_cast<uint32_t>(length);
  hash = (hash ^ hash >> 16) * 0x85ebca6b;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35;
  return hash ^ hash >> 16;
}

std::string TargetOf(const Address& address) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(address.family, address.bytes, text, sizeof text);
  const std::string port = std::to_string(address.port);
  return address.family == AF_INET ? std::string(text) + ":" + port : "[" + std::string(text) + "]:" + port;
}

void Prepare(Algorithm algorithm, uint32_t most_entries, EndpointList* list) {
  const std::vector<uint32_t> weights = ReducedWeights(list->endpoints);
  switch (algorithm) {
    case Algorithm::kRandom:
    case Algorithm::kPowerOfTwo:
      list->prepared = RunningSums(weights);
      break;
    case Algorithm::kLeastConnections:
      list->prepared = weights;
      break;
    case Algorithm::kRoundRobin:
    case Algorithm::kSourceHash:
      list->prepared = Interleaved(Fitted(weights, most_entries));
      break;
    case Algorithm::kMaglev:
      list->prepared = MaglevTable(list->endpoints, weights, most_entries);
      break;
  }
}

}  // namespace penstock::engine
