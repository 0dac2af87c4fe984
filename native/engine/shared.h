// What the threads of the engine share.
#ifndef PENSTOCK_ENGINE_SHARED_H_
#define PENSTOCK_ENGINE_SHARED_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "state/affinity.h"
#include "../service/cells.h"
#include "state/doubts.h"
#include "state/health.h"
#include "state/shares.h"
#include "state/snapshot.h"

namespace penstock::engine {

// Something that the log should know of an endpoint.
struct Event {
  enum class Kind : uint8_t {
    kEjected = 0,
    kReturned = 1,
    kStillAway = 2,
    kOutOfDescriptors = 3,
    kShareUsedUp = 4,  // the service port, or one client of it, holds as many descriptors as it may
    kLoop = 5,         // the endpoint is the address of a Service
    kNodeAddress = 6,  // endpoints like this one see the node's address: their answers to clients do not come back
    kWanted = 7,        // a connection waits for somebody who serves
    kWaitedInVain = 8,
  };
  Kind kind;
  uint32_t service_cell;
  uint32_t endpoint_cell;
  Failure why;
};

class Shared {
 public:
  // `mark`: of packets that the engine sends itself, by which the rules that capture know them; 0: none.
  Shared(int descriptor_limit, uint32_t mark) : health(cells), mark(mark), descriptor_limit_(descriptor_limit) {
    snapshot_ = std::make_shared<Snapshot>();
  }

  Cells cells;
  Health health;
  Affinity affinity;
  Shares shares;
  Doubts doubts;
  const uint32_t mark;
  // TCP connections and UDP flows, all threads.
  std::atomic<int64_t> active{0};
  // TCP connections that wait for somebody who serves, all threads: those have to be told of changes.
  std::atomic<int64_t> waiting{0};
  // Room of all pipes that are open.
  std::atomic<uint64_t> pipe_bytes{0};
  std::atomic<uint64_t> unknown{0};  // connections to destinations that no service port has

  void Publish(std::shared_ptr<const Snapshot> next) {
    const std::lock_guard<std::mutex> lock(mutex_);
    snapshot_ = std::move(next);
    generation_.fetch_add(1);
  }
  std::shared_ptr<const Snapshot> Current(uint64_t* generation) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *generation = generation_.load(std::memory_order_relaxed);
    return snapshot_;
  }
  uint64_t generation() const { return generation_.load(); }

  bool TakeDescriptors(int count) {
    if (descriptors_.fetch_add(count, std::memory_order_relaxed) + count <= descriptor_limit_) return true;
    descriptors_.fetch_sub(count, std::memory_order_relaxed);
    return false;
  }
  void ReturnDescriptors(int count) { descriptors_.fetch_sub(count, std::memory_order_relaxed); }
  bool DescriptorsAreScarce() const {
    return descriptors_.load(std::memory_order_relaxed) > descriptor_limit_ - descriptor_limit_ / 8;
  }
  int free_descriptors() const { return descriptor_limit_ - descriptors_.load(std::memory_order_relaxed); }
  int descriptor_limit() const { return descriptor_limit_; }
  int descriptors() const { return descriptors_.load(std::memory_order_relaxed); }

  // True once a minute: all threads run out of descriptors at once, and each tries again and again.
  bool MayComplain(uint64_t now_ms) {
    uint64_t last = complained_ms_.load(std::memory_order_relaxed);
    return (last == 0 || now_ms - last > 60'000) && complained_ms_.compare_exchange_strong(last, now_ms);
  }

  // True once a minute for each service port.
  bool MayComplainOf(uint32_t service_cell, uint64_t now_ms) {
    const std::lock_guard<std::mutex> lock(events_mutex_);
    if (now_ms - complaints_since_ms_ > 60'000) {
      complaints_.clear();
      complaints_since_ms_ = now_ms;
    }
    return complaints_.size() < kMostEvents && complaints_.insert(service_cell).second;
  }

  void Report(const Event& event) {
    const std::lock_guard<std::mutex> lock(events_mutex_);
    if (events_.size() < kMostEvents) events_.push_back(event);
  }
  std::vector<Event> TakeEvents() {
    const std::lock_guard<std::mutex> lock(events_mutex_);
    std::vector<Event> taken(events_.begin(), events_.end());
    events_.clear();
    return taken;
  }

 private:
  static constexpr size_t kMostEvents = 4096;
  const int descriptor_limit_;
  std::atomic<int> descriptors_{0};
  std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::atomic<uint64_t> generation_{1};
  std::atomic<uint64_t> complained_ms_{0};
  std::mutex events_mutex_;
  std::deque<Event> events_;
  std::unordered_set<uint32_t> complaints_;
  uint64_t complaints_since_ms_ = 0;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SHARED_H_
