#include "notify_socket.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "napi_support.h"

namespace penstock {
namespace {

napi_value SendToUnixSocket(napi_env env, napi_callback_info call) {
  size_t argc = 2;
  napi_value argv[2];
  if (napi_get_cb_info(env, call, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  std::string address;
  std::string text;
  if (!GetString(env, argv[0], "address", &address) || !GetString(env, argv[1], "text", &text)) return nullptr;

  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  // A path ends with a zero byte; a name of the abstract namespace begins with one and has its length.
  bool abstract = !address.empty() && address[0] == '@';
  if (address.empty() || address.size() + (abstract ? 0 : 1) > sizeof to.sun_path) {
    ThrowRangeError(env, "address: 1 to 107 bytes");
    return nullptr;
  }
  memcpy(to.sun_path, address.data(), address.size());
  if (abstract) to.sun_path[0] = '\0';
  socklen_t length = offsetof(sockaddr_un, sun_path) + address.size() + (abstract ? 0 : 1);

  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket", address);
    return nullptr;
  }
  ssize_t sent;
  do {
    sent = sendto(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&to), length);
  } while (sent < 0 && errno == EINTR);
  int error = errno;
  close(fd);
  if (sent < 0) ThrowSystemError(env, error, "sendto", address);
  return nullptr;
}

}  // namespace

bool DefineNotifySocket(napi_env env, napi_value exports) {
  napi_value function;
  return napi_create_function(env, "sendToUnixSocket", NAPI_AUTO_LENGTH, SendToUnixSocket, nullptr, &function) ==
             napi_ok &&
         napi_set_named_property(env, exports, "sendToUnixSocket", function) == napi_ok;
}

}  // namespace penstock
