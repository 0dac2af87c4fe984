// A lock between threads of turns, up to eight, and JavaScript. Of the threads none takes two turns while another waits to be next.
// JavaScript waits for one turn of each at most.
#ifndef PENSTOCK_CHOICE_FAIR_LOCK_H_
#define PENSTOCK_CHOICE_FAIR_LOCK_H_

#include <mutex>

namespace penstock::choice {

class FairLock {
 public:
  // For a thread of turns.
  std::unique_lock<std::mutex> Take() {
    { const std::lock_guard<std::mutex> passed(gate_); }
    const std::lock_guard<std::mutex> guard(next_);
    return std::unique_lock<std::mutex>(lock_);
  }

  // For JavaScript, which comes seldom: who comes after it has its turn after it.
  std::unique_lock<std::mutex> TakeSoon() {
    const std::lock_guard<std::mutex> closed(gate_);
    const std::lock_guard<std::mutex> guard(next_);
    return std::unique_lock<std::mutex>(lock_);
  }

 private:
  std::mutex gate_;  // closed while JavaScript waits
  std::mutex next_;  // of who waits for lock_
  std::mutex lock_;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_FAIR_LOCK_H_
