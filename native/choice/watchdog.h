// Starts the program that lets packets pass when a thread that chooses hangs, be it that the whole process was stopped.
#ifndef PENSTOCK_CHOICE_WATCHDOG_H_
#define PENSTOCK_CHOICE_WATCHDOG_H_

#include <sched.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../unique_fd.h"
#include "beat.h"

namespace penstock::choice {

class Watchdog {
 public:
  // `program` empty: there is none. Throws std::system_error without shared memory; a program that cannot be started is tried again.
  // `sockets`: of the queues, whose numbers follow each other from `first` on.
  Watchdog(std::string program, std::vector<int> sockets, uint16_t first);
  ~Watchdog();

  Beat& beat(size_t queue) const { return beats_[queue]; }
  bool IsWatching() const { return child_ > 0; }
  // Starts it again when it has ended.
  void Look(uint64_t now);

 private:
  void Start();

  const std::string program_;
  const std::vector<int> sockets_;
  const uint16_t first_;
  // Where whoever makes this may run: its threads may be confined.
  cpu_set_t processors_;
  UniqueFd memory_;
  Beat* beats_ = nullptr;
  UniqueFd alive_;
  pid_t child_ = -1;
  uint64_t started_ = 0;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_WATCHDOG_H_
