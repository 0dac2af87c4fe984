#include "reduce_capabilities.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "capabilities.h"
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

napi_value ReduceCapabilities(napi_env env, napi_callback_info info) {
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
  // Root gets the bounding set at an execve: whoever has less now has all that the program asks for only after it.
  const bool enough = HoldsAllOf(keep);
  const CapabilityFailure failure = ReduceThread(keep);
  if (failure.error) {
    ThrowSystemError(env, failure.error, failure.call, "give up capabilities");
    return nullptr;
  }
  if (enough && ReduceOtherThreads(keep)) return nullptr;

  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  // Node marks all that was open when it began, so that no child of its own gets it.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) fcntl(fd, F_SETFD, 0);
  execv(pointers[0], pointers.data());
  ThrowSystemError(env, errno, "execve", "run once more with fewer capabilities");
  return nullptr;
}

}  // namespace

bool DefineReduceCapabilities(napi_env env, napi_value exports) { return DefineFunction(env, exports, "reduceCapabilities", ReduceCapabilities); }

}  // namespace penstock
