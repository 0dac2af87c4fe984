#include "health.h"

#include <algorithm>

#include "beat.h"

namespace penstock::choice {

namespace {

// Failures in a row that send an endpoint away.
constexpr uint32_t kFailures = 2;
// Failures that are further apart are not in a row.
constexpr Milliseconds kApart = 10'000;
constexpr Milliseconds kFirstAway = 5'000;
constexpr Milliseconds kLongestAway = 300'000;
// A first packet that gets no answer is repeated after a second: an attempt of which nothing bad is heard for so long went well.
constexpr Milliseconds kTrial = 1'500;

}  // namespace

bool Health::IsAway(uint32_t cell, Milliseconds now) const {
  const auto found = suspects_.find(cell);
  return found != suspects_.end() && found->second.until > now;
}

bool Health::May(uint32_t cell, Milliseconds now) {
  const auto found = suspects_.find(cell);
  if (found == suspects_.end() || found->second.until == 0) return true;
  Suspect& suspect = found->second;
  if (suspect.until > now) return false;
  if (suspect.tried == 0) return true;
  if (Since(now, suspect.tried) < kTrial) return false;
  Return(cell);
  return true;
}

void Health::Picked(uint32_t cell, Milliseconds now) {
  const auto found = suspects_.find(cell);
  if (found == suspects_.end()) return;
  Suspect& suspect = found->second;
  if (suspect.until != 0 && suspect.until <= now && suspect.tried == 0) suspect.tried = now;
}

void Health::Failed(uint32_t cell, Failure failure, Milliseconds now) {
  engine::EndpointCell& counters = cells_.endpoint(cell);
  engine::Add(failure == Failure::kRefused ? counters.refused : counters.timed_out, 1);
  Suspect& suspect = suspects_[cell];
  if (suspect.until > now) return;
  if (Since(now, suspect.last) > kApart) suspect.failures = 0;
  suspect.last = now;
  suspect.failures++;
  const bool was_trial = suspect.tried != 0;
  if (!was_trial && suspect.failures < kFailures) return;
  suspect.until = now + std::min(kFirstAway << std::min<uint32_t>(suspect.level, 8), kLongestAway);
  suspect.level++;
  suspect.tried = 0;
  counters.ejected_until.store(suspect.until, std::memory_order_relaxed);
}

void Health::Answered(uint32_t cell) {
  const auto found = suspects_.find(cell);
  if (found != suspects_.end() && found->second.until == 0) suspects_.erase(found);
}

void Health::Forget(uint32_t cell) { Return(cell); }

void Health::Return(uint32_t cell) {
  if (suspects_.erase(cell) > 0) cells_.endpoint(cell).ejected_until.store(0, std::memory_order_relaxed);
}

}  // namespace penstock::choice
