// The thread that holds first packets to service ports that sleep, until somebody has woken. Nothing in JavaScript blocks it.
//
// It has no watchdog: whoever is held by an agent that was stopped waits as if the packet had been lost, which is what TCP's repeats
// are for, and of an agent that has ended the kernel drops what waits.
#ifndef PENSTOCK_HOLD_THREAD_H_
#define PENSTOCK_HOLD_THREAD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../choice/fair_lock.h"
#include "../choice/queue.h"
#include "sleepers.h"

namespace penstock::hold {

struct HoldOptions {
  uint16_t first_queue;
  // Called from the thread when there are events to take.
  std::function<void()> on_events;
};

struct HoldStatus {
  uint64_t waiting;   // packets, now
  uint64_t flows;     // now
  uint64_t held;      // flows that ever waited
  uint64_t released;  // flows that went on to somebody who woke
  uint64_t cured;     // SYNs whose timestamp was raised
  uint64_t replaced;  // packets that newer ones of their flow took the place of
  uint64_t timed_out; // flows that were given up
  uint64_t crowded;   // packets dropped because as many wait as may
  uint64_t passed;    // packets that are nobody's to hold
  uint64_t wakes;
  uint64_t wake_ms;   // of all wakes, from the first packet on
};

enum class What : uint32_t { kWanted = 1, kTimedOut = 2 };

struct Event {
  uint32_t id;
  What what;
};

class HoldThread {
 public:
  // Throws std::system_error.
  explicit HoldThread(HoldOptions options);
  // What waits is dropped: TCP sends it again.
  ~HoldThread();

  uint16_t queue() const { return queue_.number(); }
  // False when the records make no sense.
  bool Update(const uint8_t* records, size_t length);
  std::vector<Event> TakeEvents();
  HoldStatus Status();

 private:
  using Flows = std::list<Waiting>;
  // What goes on at a pace, because somebody has woken.
  struct Going {
    Flows flows;
    uint32_t endpoints;
    double allowed;
    Milliseconds since;
  };

  void Loop();
  // True when something goes on at a pace.
  bool Turn();
  void Take(const choice::QueuedPacket& packet, Milliseconds now);
  bool Hold(Sleeper* sleeper, const Flow& flow, const choice::QueuedPacket& packet, Milliseconds now);
  void Add(std::vector<Packet>* packets, const Flow& flow, const choice::QueuedPacket& packet, Milliseconds now);
  void Tell(Sleeper* sleeper, Milliseconds now);
  void GiveUpLate(Milliseconds now);
  void Wake(Sleeper& sleeper, uint32_t endpoints, Milliseconds now);
  void LetGo(Milliseconds now);
  // The first of them, where its service port sleeps again. False: it may go on.
  bool HoldAgain(Flows* going, Milliseconds now);
  void Release(Waiting* waiting, Milliseconds now);
  void Forget(const Waiting& waiting);

  const HoldOptions options_;
  Sleepers sleepers_;
  std::unordered_map<Flow, Flows::iterator, FlowHash> flows_;
  std::list<Going> going_;
  choice::Queue queue_;
  UniqueFd wake_;
  choice::FairLock lock_;
  std::vector<Event> events_;
  HoldStatus counts_{};
  // Nobody is given up before. Thousands may sleep, few are waited for.
  Milliseconds look_for_late_ = 0;
  // Of the thread alone: some packets of this turn found no room.
  bool is_crowded_ = false;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace penstock::hold

#endif  // PENSTOCK_HOLD_THREAD_H_
