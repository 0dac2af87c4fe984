#include "restart_reduced.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "napi_class.h"

namespace penstock {
namespace {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

bool GetStrings(napi_env env, napi_value array, std::vector<std::string>* out) {
  uint32_t length = 0;
  if (napi_get_array_length(env, array, &length) != napi_ok) {
    ThrowTypeError(env, "argv: an array is expected");
    return false;
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    std::string text;
    if (napi_get_element(env, array, i, &element) != napi_ok || !GetString(env, element, "argv", &text)) return false;
    out->push_back(text);
  }
  return true;
}

// Capabilities that survive execve by themselves: the inheritable ones, and the ambient ones that depend on them.
int ClearInheritable() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data)) return errno;
  for (auto& half : data) half.inheritable = 0;
  return syscall(SYS_capset, &header, data) ? errno : 0;
}

int ReduceBoundingSet(int64_t keep) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability)) return errno;
  }
  return 0;
}

napi_value RestartReduced(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  int64_t keep;
  std::vector<std::string> words;
  if (!GetInteger(env, argv[0], "keep", 0, kMaxSafeInteger, &keep) || !GetStrings(env, argv[1], &words)) return nullptr;
  if (words.empty()) {
    ThrowRangeError(env, "argv: a program is expected");
    return nullptr;
  }
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  const char* failed = "capset";
  int error = ClearInheritable();
  if (!error) {
    failed = "prctl";
    error = ReduceBoundingSet(keep);
  }
  if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) error = errno;
  if (!error) {
    failed = "execve";
    // Node marks all that was open when it began, so that no child of its own gets it.
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) fcntl(fd, F_SETFD, 0);
    execv(pointers[0], pointers.data());
    error = errno;
  }
  ThrowSystemError(env, error, failed, "restart with fewer capabilities");
  return nullptr;
}

}  // namespace

bool DefineRestartReduced(napi_env env, napi_value exports) { return DefineFunction(env, exports, "restartReduced", RestartReduced); }

}  // namespace penstock
