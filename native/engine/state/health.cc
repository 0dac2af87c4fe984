#include "health.h"

#include <algorithm>

namespace penstock::engine {

namespace {

constexpr uint64_t kFirstEjectionMs = 5'000;
constexpr uint64_t kLongestEjectionMs = 300'000;

// The word `ejection` of a cell: how often in a row (8 bits), a probe is on its way (1), why (1), and when the endpoint
// came back the last time (48, milliseconds).
constexpr uint64_t kLevelMask = 0xff;
constexpr uint64_t kProbing = 0x100;
constexpr uint64_t kTimedOut = 0x200;
constexpr int kReturnedShift = 16;
// In service, but failed when it could not be ejected; the time is then that of the failure.
constexpr uint64_t kSuspect = 0x400;
constexpr uint64_t kSuspectMs = 1'000;

uint64_t LengthOf(uint64_t level) { return std::min(kFirstEjectionMs << std::min<uint64_t>(level, 8), kLongestEjectionMs); }

// A tenth less or more, so that endpoints that fell together do not return together.
uint64_t WithJitter(uint64_t length, Random& random) {
  return length * 9 / 10 + random.Below(static_cast<uint32_t>(length / 5));
}

// Thousandths of a retry.
constexpr uint64_t kRetry = 1000;
constexpr uint64_t kPerConnection = 1000;
constexpr uint64_t kPerMillisecond = 50;
constexpr uint64_t kMostSaved = 500 * kRetry;

}  // namespace

bool Health::Failed(const Service& service, uint32_t endpoint_cell, Failure why, uint64_t now_ms,
                    Random& random) const {
  EndpointCell& cell = cells_.endpoint(endpoint_cell);
  Add(why == Failure::kRefused ? cell.refused : cell.timed_out, 1);
  if (cell.ejected_until.load(std::memory_order_relaxed) != 0) return false;
  const uint64_t before = cell.ejection.load(std::memory_order_relaxed);
  if (!TakeEjection(service, why)) {
    cell.ejection.store((before & kLevelMask) | kSuspect | now_ms << kReturnedShift, std::memory_order_relaxed);
    return false;
  }
  const uint64_t returned = before >> kReturnedShift;
  // Who has been well for twice as long as he was away begins anew.
  const uint64_t forgiven_after = LengthOf(before & kLevelMask) * 2;
  const uint64_t level = now_ms - returned > forgiven_after ? 0 : before & kLevelMask;
  uint64_t in_service = 0;
  if (!cell.ejected_until.compare_exchange_strong(in_service, now_ms + WithJitter(LengthOf(level), random))) {
    Subtract(cells_.service(service.cell).ejected, 1);  // another thread was faster
    return false;
  }
  const uint64_t next = std::min<uint64_t>(level + 1, 8);
  cell.ejection.store(next | (why == Failure::kTimedOut ? kTimedOut : 0) | returned << kReturnedShift,
                      std::memory_order_relaxed);
  return true;
}

// Never more than half of the endpoints. Who does not answer costs clients time, who refuses does not: he gives way.
bool Health::TakeEjection(const Service& service, Failure why) const {
  std::atomic<uint64_t>& ejected = cells_.service(service.cell).ejected;
  uint64_t count = ejected.load(std::memory_order_relaxed);
  for (;;) {
    if (count >= service.endpoint_count / 2) {
      if (service.endpoint_count < 2 || why == Failure::kRefused || !Displace(service)) return false;
      count = ejected.load(std::memory_order_relaxed);
      continue;
    }
    if (ejected.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
  }
}

bool Health::Displace(const Service& service) const {
  for (const EndpointList& list : service.lists) {
    for (const Endpoint& endpoint : list.endpoints) {
      EndpointCell& cell = cells_.endpoint(endpoint.cell);
      uint64_t until = cell.ejected_until.load(std::memory_order_relaxed);
      const uint64_t ejection = cell.ejection.load(std::memory_order_relaxed);
      if (until == 0 || (ejection & (kTimedOut | kProbing)) != 0) continue;
      if (!cell.ejected_until.compare_exchange_strong(until, 0)) continue;
      Subtract(cells_.service(service.cell).ejected, 1);
      return true;
    }
  }
  return false;
}

bool Health::IsSuspect(uint32_t endpoint_cell, uint64_t now_ms) const {
  const uint64_t ejection = cells_.endpoint(endpoint_cell).ejection.load(std::memory_order_relaxed);
  return (ejection & kSuspect) != 0 && now_ms - (ejection >> kReturnedShift) < kSuspectMs;
}

void Health::Succeeded(uint32_t endpoint_cell) const {
  std::atomic<uint64_t>& ejection = cells_.endpoint(endpoint_cell).ejection;
  if ((ejection.load(std::memory_order_relaxed) & kSuspect) != 0)
    ejection.fetch_and(~kSuspect, std::memory_order_relaxed);
}

bool Health::TakeProbe(uint32_t endpoint_cell, uint64_t now_ms) const {
  EndpointCell& cell = cells_.endpoint(endpoint_cell);
  const uint64_t until = cell.ejected_until.load(std::memory_order_relaxed);
  if (until == 0 || until > now_ms) return false;
  return (cell.ejection.fetch_or(kProbing, std::memory_order_relaxed) & kProbing) == 0;
}

void Health::ProbeEnded(const Service& service, uint32_t endpoint_cell, bool answered, uint64_t now_ms,
                        Random& random) const {
  EndpointCell& cell = cells_.endpoint(endpoint_cell);
  const uint64_t before = cell.ejection.load(std::memory_order_relaxed);
  const uint64_t level = before & kLevelMask;
  if (answered) {
    cell.ejection.store(level | now_ms << kReturnedShift, std::memory_order_relaxed);
    if (cell.ejected_until.exchange(0) != 0) Subtract(cells_.service(service.cell).ejected, 1);
    return;
  }
  const uint64_t next = std::min<uint64_t>(level + 1, 8);
  cell.ejected_until.store(now_ms + WithJitter(LengthOf(level), random));
  cell.ejection.store((before & ~(kLevelMask | kProbing)) | next, std::memory_order_relaxed);
}

void Health::EarnRetry(const Service& service, uint64_t now_ms) const {
  ServiceCell& cell = cells_.service(service.cell);
  uint64_t before = cell.refilled.load(std::memory_order_relaxed);
  uint64_t earned = kPerConnection;
  if (now_ms > before && cell.refilled.compare_exchange_strong(before, now_ms, std::memory_order_relaxed))
    earned += before == 0 ? kMostSaved : std::min((now_ms - before) * kPerMillisecond, kMostSaved);
  const uint64_t now_has = cell.budget.fetch_add(earned, std::memory_order_relaxed) + earned;
  if (now_has > kMostSaved) cell.budget.store(kMostSaved, std::memory_order_relaxed);
}

bool Health::SpendRetry(const Service& service) const {
  std::atomic<uint64_t>& budget = cells_.service(service.cell).budget;
  uint64_t has = budget.load(std::memory_order_relaxed);
  while (has >= kRetry)
    if (budget.compare_exchange_weak(has, has - kRetry, std::memory_order_relaxed)) return true;
  return false;
}

}  // namespace penstock::engine
