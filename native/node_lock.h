// What Node has no call for: file locks that end with their process, and the name of a network namespace that is never used again.
#ifndef PENSTOCK_NODE_LOCK_H_
#define PENSTOCK_NODE_LOCK_H_

#include <node_api.h>

namespace penstock {

// Adds to the exports:
//   lockFile(fd: number): boolean        flock(LOCK_EX | LOCK_NB); false when another has it. Throws as flock does.
//   networkNamespaceCookie(): bigint     SO_NETNS_COOKIE (Linux 5.14); throws ENOPROTOOPT before.
bool DefineNodeLock(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_NODE_LOCK_H_
