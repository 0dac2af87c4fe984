// Where endpoints were seen not to answer to addresses of clients, although they answer to the node's: pods of one bridge,
// whose frames to each other never come to the node. Counted by neighbourhoods (IPv4 /24, IPv6 /64), for all threads.
#ifndef PENSTOCK_ENGINE_DOUBTS_H_
#define PENSTOCK_ENGINE_DOUBTS_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "../../service/address.h"

namespace penstock::engine {

class Doubts {
 public:
  // Whether the endpoint is better asked with the node's address.
  bool Apply(const Address& client, const Address& endpoint, uint64_t now_ms) {
    if (!any_.load(std::memory_order_relaxed)) return false;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = pairs_.find(KeyOf(client, endpoint));
    return found != pairs_.end() && found->second.times >= kTimes && found->second.until_ms > now_ms;
  }

  // It answered to the node's address after it had not answered to the client's. True when this is the time that decides.
  bool Add(const Address& client, const Address& endpoint, uint64_t now_ms) {
    const std::lock_guard<std::mutex> lock(mutex_);
    any_.store(true, std::memory_order_relaxed);
    if (pairs_.size() >= kMost) pairs_.clear();
    Pair& pair = pairs_[KeyOf(client, endpoint)];
    pair.until_ms = now_ms + kHoldsMs;
    return ++pair.times == kTimes;
  }

  // It answered to the client's.
  void Remove(const Address& client, const Address& endpoint) {
    if (!any_.load(std::memory_order_relaxed)) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    pairs_.erase(KeyOf(client, endpoint));
  }

 private:
  // Once may be an endpoint that was slow.
  static constexpr int kTimes = 2;
  static constexpr uint64_t kHoldsMs = 600'000;
  static constexpr size_t kMost = 4096;
  struct Pair {
    int times = 0;
    uint64_t until_ms = 0;
  };

  static Address NeighbourhoodOf(Address address) {
    const size_t kept = address.family == AF_INET ? 3 : 8;
    memset(address.bytes + kept, 0, sizeof address.bytes - kept);
    address.port = 0;
    return address;
  }
  // Two pairs of one hash share a doubt.
  static uint64_t KeyOf(const Address& client, const Address& endpoint) {
    return HashOf(NeighbourhoodOf(client)) * 31 + HashOf(NeighbourhoodOf(endpoint));
  }

  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::unordered_map<uint64_t, Pair> pairs_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_DOUBTS_H_
