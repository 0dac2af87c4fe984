#include "node_lock.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "napi_class.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71  // asm-generic/socket.h; not in the headers of older systems.
#endif

namespace penstock {
namespace {

napi_value LockFile(napi_env env, napi_callback_info call) {
  size_t argc = 1;
  napi_value argv[1];
  if (napi_get_cb_info(env, call, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  int64_t fd;
  if (!GetInteger(env, argv[0], "fd", 0, INT32_MAX, &fd)) return nullptr;
  int failed;
  do {
    failed = flock(static_cast<int>(fd), LOCK_EX | LOCK_NB);
  } while (failed && errno == EINTR);
  if (failed && errno != EWOULDBLOCK) {
    ThrowSystemError(env, errno, "flock", "lock file");
    return nullptr;
  }
  napi_value result;
  return napi_get_boolean(env, failed == 0, &result) == napi_ok ? result : nullptr;
}

napi_value NetworkNamespaceCookie(napi_env env, napi_callback_info) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket", "network namespace");
    return nullptr;
  }
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  int failed = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length);
  int error = errno;
  close(fd);
  if (failed) {
    ThrowSystemError(env, error, "getsockopt", "network namespace");
    return nullptr;
  }
  napi_value result;
  return napi_create_bigint_uint64(env, cookie, &result) == napi_ok ? result : nullptr;
}

}  // namespace

bool DefineNodeLock(napi_env env, napi_value exports) {
  return DefineFunction(env, exports, "lockFile", LockFile) &&
         DefineFunction(env, exports, "networkNamespaceCookie", NetworkNamespaceCookie);
}

}  // namespace penstock
