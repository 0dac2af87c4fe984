// The threads that choose endpoints for first packets, each with a queue. Nothing in JavaScript blocks them.
#ifndef PENSTOCK_CHOICE_THREADS_H_
#define PENSTOCK_CHOICE_THREADS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

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
  uint64_t times_open;  // of the queue that was let pass most often: what stops the agent stops all
  bool is_watched;
};

class ChoiceThreads {
 public:
  // Throws std::system_error.
  explicit ChoiceThreads(const ChoiceOptions& options);
  // Packets that wait are decided; none is lost.
  ~ChoiceThreads();

  // The first number, and how many follow each other: the kernel gives what comes on a processor to that one's.
  uint16_t queue() const { return workers_.front()->queue.number(); }
  size_t queues() const { return workers_.size(); }
  // Outlives the threads as long as anybody reads it.
  const std::shared_ptr<engine::Cells>& cells() const { return cells_; }
  // False when the records make no sense.
  bool Update(const uint8_t* records, size_t length);
  ChoiceStatus Status();
  // For tests: all threads hang for so long.
  void Hang(uint32_t milliseconds);

 private:
  struct Worker {
    explicit Worker(const QueueOptions& options) : queue(options) {}

    Queue queue;
    Beat* beat = nullptr;
    std::atomic<uint32_t> hang_ms{0};
    std::thread thread;
  };

  void BindQueues();
  bool BindQueues(uint16_t first, size_t count);
  void Start();
  void Stop();
  void Loop(Worker& worker);
  int Wait(Worker& worker, bool has_more);
  bool Turn(Worker& worker, int most_batches, int count);
  bool Decide(Worker& worker, int count);
  void Decide(Worker& worker, const QueuedPacket& packet, Milliseconds now);
  uint16_t NumberFor(const Flow& flow, Milliseconds now, bool* passes);
  uint16_t Repeated(const Flow& flow, Decision* decision, const Found& found, Milliseconds now, bool* passes);
  uint32_t Pick(const Found& found, Milliseconds now);

  const ChoiceOptions options_;
  const std::shared_ptr<engine::Cells> cells_;
  Services services_;
  Health health_;
  Connections connections_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Watchdog> watchdog_;
  engine::Random random_;
  // Of all that is counted and known here; no thread has it while the kernel takes its verdicts.
  FairLock lock_;
  engine::Eligible eligible_;
  std::atomic<uint64_t> cursor_{0};
  ChoiceStatus counts_{};
  std::atomic<bool> ending_{false};
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_THREADS_H_
