// Memory that the process needs no longer, for the kernel.
#ifndef PENSTOCK_GIVE_BACK_H_
#define PENSTOCK_GIVE_BACK_H_

#include <node_api.h>

namespace penstock {

// Adds to the exports:
//   giveBackMemory(): number
//     What malloc holds and nobody uses, and the pages of the program's file: whatever is used again comes back from the page
//     cache with its first use. Only what the kernel says is as in the file (proc_pid_smaps(5): mapped without write permission,
//     "Anonymous: 0", "Swap: 0"). Returns how many bytes of the file were mapped and resident before.
bool DefineGiveBack(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_GIVE_BACK_H_
