#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <system_error>
#include <utility>

namespace penstock::choice {

namespace {

constexpr uint64_t kAgainMs = 10'000;
// Above all that the program is given, so that giving them overwrites none.
constexpr int kAside = 10;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Watchdog::Watchdog(std::string program, int queue_socket, uint16_t queue)
    : program_(std::move(program)), queue_socket_(queue_socket), queue_(queue) {
  memory_.Reset(memfd_create("penstock-watchdog", MFD_CLOEXEC));
  if (!memory_.is_open() || ftruncate(memory_.get(), sizeof(Beat)) != 0) Fail("memory of the watchdog");
  void* memory = mmap(nullptr, sizeof(Beat), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (memory == MAP_FAILED) Fail("memory of the watchdog");
  beat_ = new (memory) Beat{};
  beat_->turned = MonotonicMs();
  Start();
}

Watchdog::~Watchdog() {
  alive_.Reset();
  if (child_ > 0) {
    pid_t ended;
    do {
      ended = waitpid(child_, nullptr, 0);
    } while (ended < 0 && errno == EINTR);
  }
  munmap(beat_, sizeof(Beat));
}

void Watchdog::Start() {
  started_ = MonotonicMs();
  if (program_.empty()) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  const UniqueFd theirs(fcntl(ends[0], F_DUPFD_CLOEXEC, kAside));
  alive_.Reset(ends[1]);
  close(ends[0]);
  const UniqueFd queue(fcntl(queue_socket_, F_DUPFD_CLOEXEC, kAside));
  const UniqueFd memory(fcntl(memory_.get(), F_DUPFD_CLOEXEC, kAside));
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (int fd = 0; fd < kQueueFd; fd++) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, queue.get(), kQueueFd);
  posix_spawn_file_actions_adddup2(&actions, memory.get(), kBeatFd);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kAgentFd);
  // What stops the agent's group of processes from a terminal does not stop this.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  const std::string number = std::to_string(queue_);
  char* const arguments[] = {const_cast<char*>("penstock-watchdog"), const_cast<char*>(number.c_str()), nullptr};
  char* const environment[] = {nullptr};
  if (posix_spawn(&child_, program_.c_str(), &actions, &attributes, arguments, environment) != 0) child_ = -1;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
}

void Watchdog::Look(uint64_t now) {
  if (child_ > 0 && waitpid(child_, nullptr, WNOHANG) == child_) child_ = -1;
  if (child_ <= 0 && now - started_ >= kAgainMs) Start();
}

}  // namespace penstock::choice
