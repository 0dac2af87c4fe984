#include "capabilities.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace penstock {
namespace {

struct CapabilitySets {
  __user_cap_data_struct halves[_LINUX_CAPABILITY_U32S_3];

  uint64_t permitted() const { return halves[0].permitted | uint64_t{halves[1].permitted} << 32; }
};

bool GetSets(CapabilitySets* sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, sets->halves) == 0;
}

bool SetSets(const CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capset, &header, sets.halves) == 0;
}

#if defined(__x86_64__)

// glibc keeps this signal for setuid(), which has the same task: no thread blocks it, and pthread_sigmask() cannot. Nobody calls
// setuid() here.
constexpr int kSignal = 33;
constexpr auto kPatience = 500;  // times a millisecond
constexpr unsigned long kSaRestorer = 0x04000000;

// As the kernel has it; the C library refuses this signal.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

std::atomic<uint64_t> kept;
std::atomic<int> answers;

void OnSignal(int, siginfo_t*, void*) {
  const int saved = errno;
  ReduceThread(kept.load(std::memory_order_acquire));
  answers.fetch_add(1, std::memory_order_release);
  errno = saved;
}

// What a handler returns to: rt_sigreturn.
__attribute__((naked)) void Restore() {
  asm("mov $15, %eax\n\tsyscall");
}

// What /proc says of the rights of a thread; '' when the thread is gone.
std::string Rights(const std::string& task) {
  const UniqueFd file(open(("/proc/self/task/" + task + "/status").c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return "";
  char text[4096];
  const ssize_t length = read(file.get(), text, sizeof text - 1);
  if (length <= 0) return "";
  text[length] = '\0';
  std::string rights;
  for (const char* name : {"\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapBnd:", "\nCapAmb:", "\nNoNewPrivs:"}) {
    const char* line = strstr(text, name);
    if (line == nullptr) return "unreadable";
    rights.append(line, strcspn(line + 1, "\n") + 1);
  }
  return rights;
}

// The threads whose rights are not those of the calling one. False when /proc cannot be read.
bool OtherThreads(std::vector<pid_t>* others) {
  others->clear();
  const std::string own = Rights(std::to_string(syscall(SYS_gettid)));
  if (own.empty() || own == "unreadable") return false;
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return false;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const std::string rights = Rights(entry->d_name);
    if (!rights.empty() && rights != own) others->push_back(atoi(entry->d_name));
  }
  closedir(folder);
  return true;
}

bool SignalEach(const std::vector<pid_t>& threads) {
  answers.store(0, std::memory_order_relaxed);
  int sent = 0;
  for (const pid_t thread : threads) {
    if (syscall(SYS_tgkill, getpid(), thread, kSignal) == 0) sent++;
    else if (errno != ESRCH) return false;
  }
  for (int i = 0; answers.load(std::memory_order_acquire) < sent; i++) {
    if (i == kPatience) return false;
    const timespec millisecond{0, 1000000};
    nanosleep(&millisecond, nullptr);
  }
  return true;
}

#endif

}  // namespace

CapabilityFailure ReduceThread(uint64_t keep) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability)) return {"prctl", errno};
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return {"prctl", errno};
  CapabilitySets sets{};
  if (!GetSets(&sets)) return {"capget", errno};
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    const auto half = static_cast<uint32_t>(keep >> (32 * i));
    sets.halves[i].permitted &= half;
    sets.halves[i].effective &= half;
    // Ambient ones go with the inheritable ones.
    sets.halves[i].inheritable = 0;
  }
  if (!SetSets(sets)) return {"capset", errno};
  return {};
}

bool HoldsAllOf(uint64_t keep) {
  CapabilitySets sets{};
  if (!GetSets(&sets)) return false;
  for (int capability = 0;; capability++) {
    const int there = prctl(PR_CAPBSET_READ, capability);
    if (there < 0) return true;
    if (there && keep >> capability & 1 && !(sets.permitted() >> capability & 1)) return false;
  }
}

bool ReduceOtherThreads(uint64_t keep) {
#if defined(__x86_64__)
  kept.store(keep, std::memory_order_release);
  const KernelAction ours{OnSignal, SA_SIGINFO | SA_RESTART | kSaRestorer, Restore, 0};
  KernelAction before{};
  if (syscall(SYS_rt_sigaction, kSignal, &ours, &before, sizeof ours.mask)) return false;
  std::vector<pid_t> others;
  // A thread may have begun another one meanwhile.
  for (int i = 0; i < 10; i++) {
    if (!OtherThreads(&others)) return false;
    if (others.empty()) return syscall(SYS_rt_sigaction, kSignal, &before, nullptr, sizeof ours.mask) == 0;
    if (!SignalEach(others)) return false;
  }
#else
  (void)keep;
#endif
  return false;
}

}  // namespace penstock
