// The capabilities of threads: every thread of Linux has its own.
#ifndef PENSTOCK_CAPABILITIES_H_
#define PENSTOCK_CAPABILITIES_H_

#include <cstdint>

namespace penstock {

// What went wrong: `error` is an errno and positive, 0 when nothing did; `call` is the system call.
struct CapabilityFailure {
  const char* call = "";
  int error = 0;
};

// Takes every capability that is no bit of `keep` out of all sets of the calling thread, and sets no_new_privs. May be called
// in a signal handler.
CapabilityFailure ReduceThread(uint64_t keep);

// Whether the permitted set has all that execve would give to root: the bounding set, less what is no bit of `keep`.
bool HoldsAllOf(uint64_t keep);

// Makes all other threads of this process do ReduceThread(keep), which the calling thread has done. False when they may not
// have done it: then a signal handler stays in place, and nothing but execve is to follow.
bool ReduceOtherThreads(uint64_t keep);

}  // namespace penstock

#endif  // PENSTOCK_CAPABILITIES_H_
