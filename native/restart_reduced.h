// The same program once more in this process, with fewer capabilities.
#ifndef PENSTOCK_RESTART_REDUCED_H_
#define PENSTOCK_RESTART_REDUCED_H_

#include <node_api.h>

namespace penstock {

// Adds restartReduced(keep: number, argv: string[]): never to the exports. Bit n of `keep` is capability n of
// linux/capability.h; all others are taken out of the bounding set, and execve(argv[0], argv) follows, after which root has
// what is left there. One thread cannot take capabilities from the others of its process, execve can. Sets no_new_privs.
// Returns only to throw: EPERM without CAP_SETPCAP.
bool DefineRestartReduced(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_RESTART_REDUCED_H_
