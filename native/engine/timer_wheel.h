// Timers of one thread: a wheel of 512 slots of 8 milliseconds. To set and cancel is constant; a timer beyond the wheel's
// 4 seconds is looked at once each turn.
#ifndef PENSTOCK_ENGINE_TIMER_WHEEL_H_
#define PENSTOCK_ENGINE_TIMER_WHEEL_H_

#include <cstdint>

namespace penstock::engine {

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { Unlink(); }

  bool is_set() const { return next_ != nullptr; }
  virtual void OnTimer(uint64_t now_ms) = 0;

 private:
  friend class TimerWheel;
  void Unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }
  void LinkBefore(Timer* head) {
    next_ = head;
    previous_ = head->previous_;
    previous_->next_ = this;
    head->previous_ = this;
  }

  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  uint64_t due_ms_ = 0;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 8;

  explicit TimerWheel(uint64_t now_ms) : turned_(now_ms / kTickMs) {
    for (Head& head : slots_) head.next_ = head.previous_ = &head;
  }
  ~TimerWheel() {
    for (Head& head : slots_)
      while (head.next_ != &head) head.next_->Unlink();
    for (Head& head : slots_) head.next_ = nullptr;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Goes off at due_ms or up to a tick later, never before.
  void Set(Timer* timer, uint64_t due_ms) {
    Cancel(timer);
    timer->due_ms_ = due_ms;
    uint64_t tick = (due_ms + kTickMs - 1) / kTickMs;
    if (tick <= turned_) tick = turned_ + 1;
    timer->LinkBefore(&slots_[tick % kSlots]);
    count_++;
  }

  void Cancel(Timer* timer) {
    if (!timer->is_set()) return;
    timer->Unlink();
    count_--;
  }

  // Calls OnTimer of all that are due.
  void Turn(uint64_t now_ms) {
    const uint64_t tick = now_ms / kTickMs;
    if (tick > turned_ + kSlots) turned_ = tick - kSlots;
    while (turned_ < tick) {
      turned_++;
      Head due;
      due.next_ = due.previous_ = &due;
      Head& head = slots_[turned_ % kSlots];
      for (Timer* timer = head.next_; timer != &head;) {
        Timer* next = timer->next_;
        if (timer->due_ms_ <= turned_ * kTickMs) {
          timer->Unlink();
          timer->LinkBefore(&due);
        }
        timer = next;
      }
      // One at a time: each may cancel others.
      while (due.next_ != &due) {
        Timer* timer = due.next_;
        Cancel(timer);
        timer->OnTimer(now_ms);
      }
      due.next_ = nullptr;
    }
  }

  // How long to sleep at most; -1: nothing to wait for.
  int SleepMs(uint64_t now_ms) const {
    if (count_ == 0) return -1;
    for (uint64_t tick = turned_ + 1; tick <= turned_ + kSlots; tick++) {
      const Head& head = slots_[tick % kSlots];
      if (head.next_ == &head) continue;
      const uint64_t at = tick * kTickMs;
      return at <= now_ms ? 0 : static_cast<int>(at - now_ms);
    }
    return kSlots * kTickMs;
  }

 private:
  static constexpr uint64_t kSlots = 512;
  struct Head : Timer {
    void OnTimer(uint64_t) override {}
  };

  Head slots_[kSlots];
  uint64_t turned_;
  uint64_t count_ = 0;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_TIMER_WHEEL_H_
