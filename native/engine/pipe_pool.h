// Empty pipes for splice(2), kept for the next who needs one.
#ifndef PENSTOCK_ENGINE_PIPE_POOL_H_
#define PENSTOCK_ENGINE_PIPE_POOL_H_

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "shared.h"

namespace penstock::engine {

struct Pipe {
  int read = -1;
  int write = -1;
  bool is_open() const { return read >= 0; }
};

class PipePool {
 public:
  static constexpr int kBytes = 1 << 18;

  explicit PipePool(Shared& shared) : shared_(shared) {}
  ~PipePool() {
    for (Pipe& pipe : idle_) Close(&pipe);
  }
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // Not open when there is no descriptor left: bytes must then be copied.
  Pipe Take() {
    if (!idle_.empty()) {
      const Pipe pipe = idle_.back();
      idle_.pop_back();
      return pipe;
    }
    if (!shared_.TakeDescriptors(2)) return {};
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
      shared_.ReturnDescriptors(2);
      return {};
    }
    // The kernel may allow less; then it is slower.
    fcntl(ends[1], F_SETPIPE_SZ, kBytes);
    return {ends[0], ends[1]};
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
    *pipe = {};
    shared_.ReturnDescriptors(2);
  }

 private:
  static constexpr size_t kMostIdle = 64;
  Shared& shared_;
  std::vector<Pipe> idle_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PIPE_POOL_H_
