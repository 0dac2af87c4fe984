// A lock between a thread of turns and JavaScript: whoever waited longer has it first, so that a turn after the other keeps nobody
// waiting.
#ifndef PENSTOCK_CHOICE_FAIR_LOCK_H_
#define PENSTOCK_CHOICE_FAIR_LOCK_H_

#include <mutex>

namespace penstock::choice {

class FairLock {
 public:
  std::unique_lock<std::mutex> Take() {
    const std::lock_guard<std::mutex> guard(next_);
    return std::unique_lock<std::mutex>(lock_);
  }

 private:
  std::mutex next_;  // of who waits for lock_
  std::mutex lock_;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_FAIR_LOCK_H_
