// The memory that the engine and TypeScript share: cells of eight 64-bit words each, one for every service port and
// every endpoint of it. TypeScript gives out the cells (src/kernel/addon/Cells.ts) and reads them whenever it
// likes; the engine's threads count in them. Nobody ever waits.
#ifndef PENSTOCK_ENGINE_CELLS_H_
#define PENSTOCK_ENGINE_CELLS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace penstock::engine {

struct alignas(64) ServiceCell {
  std::atomic<uint64_t> connections;  // accepted; UDP: flows
  std::atomic<uint64_t> active;
  std::atomic<uint64_t> retries;  // attempts after the first
  std::atomic<uint64_t> failed;   // that found no endpoint in the end
  std::atomic<uint64_t> cursor;   // round robin
  std::atomic<uint64_t> ejected;  // endpoints that are, now
  std::atomic<uint64_t> budget;   // thousandths of retries that may still be made
  std::atomic<uint64_t> refilled; // when the budget was last topped up, milliseconds
};

struct alignas(64) EndpointCell {
  std::atomic<uint64_t> connections;  // that were established; UDP: flows
  std::atomic<uint64_t> active;       // attempts and connections that hold it now
  std::atomic<uint64_t> refused;
  std::atomic<uint64_t> timed_out;
  std::atomic<uint64_t> bytes_to;
  std::atomic<uint64_t> bytes_from;
  std::atomic<uint64_t> ejected_until;  // milliseconds of CLOCK_MONOTONIC; 0: in service
  std::atomic<uint64_t> ejection;       // how often, why and since when: health.cc
};

static_assert(sizeof(ServiceCell) == 64 && sizeof(EndpointCell) == 64, "TypeScript counts on it");
static_assert(std::atomic<uint64_t>::is_always_lock_free, "TypeScript reads while threads write");

// Reserves address space once; the kernel gives memory for what is touched only.
class Cells {
 public:
  static constexpr size_t kCount = size_t{1} << 21;
  static constexpr size_t kBytes = kCount * 64;

  Cells();
  ~Cells();
  Cells(const Cells&) = delete;
  Cells& operator=(const Cells&) = delete;

  void* memory() const { return memory_; }
  ServiceCell& service(uint32_t index) const { return static_cast<ServiceCell*>(memory_)[index]; }
  EndpointCell& endpoint(uint32_t index) const { return static_cast<EndpointCell*>(memory_)[index]; }

 private:
  void* memory_;
};

inline void Add(std::atomic<uint64_t>& counter, uint64_t amount) {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

inline void Subtract(std::atomic<uint64_t>& counter, uint64_t amount) {
  counter.fetch_sub(amount, std::memory_order_relaxed);
}

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_CELLS_H_
