// Starts the program that lets packets pass when the thread that chooses hangs, be it that the whole process was stopped.
#ifndef PENSTOCK_CHOICE_WATCHDOG_H_
#define PENSTOCK_CHOICE_WATCHDOG_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "../unique_fd.h"
#include "beat.h"

namespace penstock::choice {

class Watchdog {
 public:
  // `program` empty: there is none. Throws std::system_error without shared memory; a program that cannot be started is tried again.
  Watchdog(std::string program, int queue_socket, uint16_t queue);
  ~Watchdog();

  Beat& beat() const { return *beat_; }
  bool IsWatching() const { return child_ > 0; }
  // Starts it again when it has ended.
  void Look(uint64_t now);

 private:
  void Start();

  const std::string program_;
  const int queue_socket_;
  const uint16_t queue_;
  UniqueFd memory_;
  Beat* beat_ = nullptr;
  UniqueFd alive_;
  pid_t child_ = -1;
  uint64_t started_ = 0;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_WATCHDOG_H_
