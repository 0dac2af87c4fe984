// A file descriptor with one owner, who closes it, also when a constructor throws half way.
#ifndef PENSTOCK_UNIQUE_FD_H_
#define PENSTOCK_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace penstock {

class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  ~UniqueFd() { Reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(std::exchange(other.fd_, -1));
    return *this;
  }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

}  // namespace penstock

#endif  // PENSTOCK_UNIQUE_FD_H_
