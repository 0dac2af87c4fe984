// The thread that chooses endpoints for first packets. Nothing in JavaScript blocks it.
#ifndef PENSTOCK_CHOICE_THREAD_H_
#define PENSTOCK_CHOICE_THREAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "../service/cells.h"
#include "../service/pick.h"
#include "connections.h"
#include "fair_lock.h"
#include "health.h"
#include "queue.h"
#include "services.h"
#include "watchdog.h"

namespace penstock::choice {

struct ChoiceOptions {
  uint16_t first_queue;
  uint32_t mark_shift;
  uint32_t mark_mask;
  std::string watchdog;  // a program; empty for none
};

struct ChoiceStatus {
  uint64_t decided;
  uint64_t repeated;   // first packets that came again
  uint64_t forgotten;  // connections that the kernel was told to forget, so that a repeat is chosen for again
  uint64_t strangers;  // packets that no service port was found for
  uint64_t nanoseconds;  // spent in deciding, all in all
  uint64_t connections;
  uint64_t lost;
  uint64_t recounted;
  uint64_t times_open;
  bool is_watched;
};

class ChoiceThread {
 public:
  // Throws std::system_error.
  explicit ChoiceThread(const ChoiceOptions& options);
  // Packets that wait are decided; none is lost.
  ~ChoiceThread();

  uint16_t queue() const { return queue_.number(); }
  // Outlives the thread as long as anybody reads it.
  const std::shared_ptr<engine::Cells>& cells() const { return cells_; }
  // False when the records make no sense.
  bool Update(const uint8_t* records, size_t length);
  ChoiceStatus Status();
  // For tests: the thread hangs for so long with all that it holds.
  void Hang(uint32_t milliseconds);

 private:
  void Loop();
  void Wait(int most_ms);
  bool Turn(int most_batches);
  void Decide(const QueuedPacket& packet, Milliseconds now);
  uint16_t NumberFor(const Flow& flow, Milliseconds now, bool* passes);
  uint16_t Repeated(const Flow& flow, Decision* decision, const Found& found, Milliseconds now, bool* passes);
  uint32_t Pick(const Found& found, Milliseconds now);

  const ChoiceOptions options_;
  const std::shared_ptr<engine::Cells> cells_;
  Services services_;
  Health health_;
  Connections connections_;
  Queue queue_;
  Watchdog watchdog_;
  engine::Random random_;
  // Where another core may run who sends meanwhile.
  const bool may_stay_awake_;
  bool came_soon_ = false;
  UniqueFd wake_;
  FairLock lock_;
  engine::Eligible eligible_;
  std::atomic<uint64_t> cursor_{0};
  std::atomic<uint32_t> hang_ms_{0};
  ChoiceStatus counts_{};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_THREAD_H_
