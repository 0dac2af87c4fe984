// Calls a function of JavaScript from a thread: at most one call waits, as whoever is called takes everything.
#ifndef PENSTOCK_ANNOUNCE_NOTIFIER_H_
#define PENSTOCK_ANNOUNCE_NOTIFIER_H_

#include <node_api.h>

#include <utility>

namespace penstock {

class Notifier {
 public:
  // False when the function cannot be called from a thread. It does not keep the process alive.
  bool Open(napi_env env, napi_value callback, const char* what) {
    napi_value name;
    if (napi_create_string_utf8(env, what, NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env, callback, nullptr, name, 1, 1, nullptr, nullptr, nullptr, CallBack,
                                        &function_) != napi_ok) {
      return false;
    }
    napi_unref_threadsafe_function(env, function_);
    return true;
  }

  void Notify() const { napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking); }

  // The thread must have ended.
  void Close() {
    if (function_ != nullptr) napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_abort);
  }

 private:
  static void CallBack(napi_env env, napi_value callback, void*, void*) {
    if (env == nullptr) return;
    napi_value global;
    if (napi_get_global(env, &global) == napi_ok) napi_call_function(env, global, callback, 0, nullptr, nullptr);
  }

  napi_threadsafe_function function_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_ANNOUNCE_NOTIFIER_H_
