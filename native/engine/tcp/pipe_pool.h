// Empty pipes for splice(2), kept for the next who needs one.
#ifndef PENSTOCK_ENGINE_PIPE_POOL_H_
#define PENSTOCK_ENGINE_PIPE_POOL_H_

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "../shared.h"

namespace penstock::engine {

struct Pipe {
  int read = -1;
  int write = -1;
  uint32_t bytes = 0;
  bool is_open() const { return read >= 0; }
};

class PipePool {
 public:
  // What a splice may move at once: no pipe holds more (/proc/sys/fs/pipe-max-size).
  static constexpr uint32_t kMostBytes = 1 << 20;

  explicit PipePool(Shared& shared) : shared_(shared) {}
  ~PipePool() {
    for (Pipe& pipe : idle_) Close(&pipe);
  }
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // Not open when there is no descriptor left, or pipes would become tiny: bytes must then be copied.
  Pipe Take() {
    if (!idle_.empty()) {
      const Pipe pipe = idle_.back();
      idle_.pop_back();
      return pipe;
    }
    const uint32_t bytes = TakeBytes();
    if (bytes == 0) return {};
    int ends[2] = {-1, -1};
    if (!shared_.TakeDescriptors(2)) {
      shared_.pipe_bytes.fetch_sub(bytes, std::memory_order_relaxed);
      return {};
    }
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
      shared_.pipe_bytes.fetch_sub(bytes, std::memory_order_relaxed);
      shared_.ReturnDescriptors(2);
      return {};
    }
    // The kernel may allow less; then it is slower.
    if (bytes != kUsualBytes) fcntl(ends[1], F_SETPIPE_SZ, bytes);
    return {ends[0], ends[1], bytes};
  }

  // Only an empty pipe may be given back.
  void Return(Pipe* pipe) {
    if (!pipe->is_open()) return;
    if (idle_.size() < kMostIdle && !shared_.DescriptorsAreScarce()) {
      idle_.push_back(*pipe);
      *pipe = {};
    } else {
      Close(pipe);
    }
  }

  void Close(Pipe* pipe) {
    if (!pipe->is_open()) return;
    close(pipe->read);
    close(pipe->write);
    shared_.pipe_bytes.fetch_sub(pipe->bytes, std::memory_order_relaxed);
    *pipe = {};
    shared_.ReturnDescriptors(2);
  }

 private:
  static constexpr size_t kMostIdle = 64;
  static constexpr uint32_t kUsualBytes = 1 << 16;
  // All pipes of a user may have 64 MB together (/proc/sys/fs/pipe-user-pages-soft); every one beyond that has 8 KB, also
  // those of other programs. So the first have all that makes them fast, and the many that come later less.
  struct Step {
    uint64_t below;
    uint32_t bytes;
  };
  static constexpr Step kSteps[] = {{24 << 20, kMostBytes}, {40 << 20, 1 << 18}, {48 << 20, kUsualBytes}};

  // 0: none is to be had.
  uint32_t TakeBytes() {
    const uint64_t taken = shared_.pipe_bytes.load(std::memory_order_relaxed);
    for (const Step& step : kSteps) {
      if (taken >= step.below) continue;
      shared_.pipe_bytes.fetch_add(step.bytes, std::memory_order_relaxed);
      return step.bytes;
    }
    return 0;
  }

  Shared& shared_;
  std::vector<Pipe> idle_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PIPE_POOL_H_
