// What a thread that chooses and the watchdog beside the agent tell each other, in memory that both processes have.
#ifndef PENSTOCK_CHOICE_BEAT_H_
#define PENSTOCK_CHOICE_BEAT_H_

#include <time.h>

#include <atomic>
#include <cstdint>

namespace penstock::choice {

struct Beat {
  std::atomic<uint64_t> turned;       // milliseconds of CLOCK_MONOTONIC, when the thread looked last
  std::atomic<uint32_t> last_id;      // of a packet
  std::atomic<uint32_t> is_open;      // the watchdog lets everything pass; the thread ends that when it turns again
  std::atomic<uint64_t> times_open;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free, "two processes share it");

// The file descriptors of the watchdog, which are its only arguments besides the first queue's number and how many there are. One
// beat for each queue is in the memory, and each has a socket.
constexpr int kBeatFd = 3;
constexpr int kAgentFd = 4;
constexpr int kFirstQueueFd = 5;

inline uint64_t MonotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

// How long ago `then` was. Threads that share a time look at the clock one after the other: where another has seen a later one, 0.
inline uint64_t Since(uint64_t now, uint64_t then) { return now > then ? now - then : 0; }

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_BEAT_H_
