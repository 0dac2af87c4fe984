// This process with fewer capabilities.
#ifndef PENSTOCK_REDUCE_CAPABILITIES_H_
#define PENSTOCK_REDUCE_CAPABILITIES_H_

#include <node_api.h>

namespace penstock {

// Adds reduceCapabilities(keep: number, argv: string[]): void to the exports. Bit n of `keep` is capability n of
// linux/capability.h; all others are taken out of the bounding, permitted, effective and inheritable sets of every thread, and
// no_new_privs is set. The kernel has no call for the other threads of a process: a signal makes each do it itself, and
// /proc/self/task shows that each did. Where that is not so, execve(argv[0], argv) follows, which leaves one thread: the
// program begins again, and this function does not return. Throws EPERM without CAP_SETPCAP.
bool DefineReduceCapabilities(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_REDUCE_CAPABILITIES_H_
