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
constexpr int kAside = kFirstQueueFd + 64;

// A program that is started runs where `these` say, and not where the thread is confined to that starts it.
class Unconfined {
 public:
  explicit Unconfined(const cpu_set_t& these) : is_known_(sched_getaffinity(0, sizeof before_, &before_) == 0) {
    if (is_known_) sched_setaffinity(0, sizeof these, &these);
  }
  ~Unconfined() {
    if (is_known_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Unconfined(const Unconfined&) = delete;
  Unconfined& operator=(const Unconfined&) = delete;

 private:
  cpu_set_t before_;
  const bool is_known_;
};

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Watchdog::Watchdog(std::string program, std::vector<int> sockets, uint16_t first)
    : program_(std::move(program)), sockets_(std::move(sockets)), first_(first) {
  CPU_ZERO(&processors_);
  sched_getaffinity(0, sizeof processors_, &processors_);
  const size_t size = sizeof(Beat) * sockets_.size();
  memory_.Reset(memfd_create("penstock-watchdog", MFD_CLOEXEC));
  if (!memory_.is_open() || ftruncate(memory_.get(), static_cast<off_t>(size)) != 0) Fail("memory of the watchdog");
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (memory == MAP_FAILED) Fail("memory of the watchdog");
  beats_ = static_cast<Beat*>(memory);
  for (size_t i = 0; i < sockets_.size(); i++) new (&beats_[i]) Beat{{MonotonicMs()}, {0}, {0}, {0}};
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
  munmap(beats_, sizeof(Beat) * sockets_.size());
}

void Watchdog::Start() {
  started_ = MonotonicMs();
  if (program_.empty()) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  const UniqueFd theirs(fcntl(ends[0], F_DUPFD_CLOEXEC, kAside));
  alive_.Reset(ends[1]);
  close(ends[0]);
  std::vector<UniqueFd> queues;
  for (const int socket : sockets_) queues.emplace_back(fcntl(socket, F_DUPFD_CLOEXEC, kAside));
  const UniqueFd memory(fcntl(memory_.get(), F_DUPFD_CLOEXEC, kAside));
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (int fd = 0; fd <= STDERR_FILENO; fd++) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, memory.get(), kBeatFd);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kAgentFd);
  for (size_t i = 0; i < queues.size(); i++)
    posix_spawn_file_actions_adddup2(&actions, queues[i].get(), kFirstQueueFd + static_cast<int>(i));
  // What stops the agent's group of processes from a terminal does not stop this.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  const std::string first = std::to_string(first_), count = std::to_string(sockets_.size());
  char* const arguments[] = {const_cast<char*>("penstock-watchdog"), const_cast<char*>(first.c_str()),
                             const_cast<char*>(count.c_str()), nullptr};
  char* const environment[] = {nullptr};
  const Unconfined unconfined(processors_);
  if (posix_spawn(&child_, program_.c_str(), &actions, &attributes, arguments, environment) != 0) child_ = -1;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
}

void Watchdog::Look(uint64_t now) {
  if (child_ > 0 && waitpid(child_, nullptr, WNOHANG) == child_) child_ = -1;
  if (child_ <= 0 && Since(now, started_) >= kAgainMs) Start();
}

}  // namespace penstock::choice
