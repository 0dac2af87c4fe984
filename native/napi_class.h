// What the classes of the addon have in common: an object of JavaScript that owns a State of C++. A State has
//
//   static constexpr napi_type_tag kTag        marks our objects: a method called on anything else throws instead of misreading memory
//   static constexpr const char* kClass        the name in JavaScript
//   static constexpr const char* kSubsystem    `syscall` of its errors
//   bool IsOpen() const; void End();           what close() does; End() may come twice
#ifndef PENSTOCK_NAPI_CLASS_H_
#define PENSTOCK_NAPI_CLASS_H_

#include <node_api.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "napi_support.h"

namespace penstock {

constexpr size_t kMaxArguments = 6;

// nullptr with an exception pending when `self` is no object of the class.
void* UnwrapTagged(napi_env env, napi_value self, const napi_type_tag& tag, const char* class_name);

// A call of a method: its arguments, absent ones undefined, and whose it is.
template <typename State>
struct Call {
  napi_env env;
  napi_value self = nullptr;
  napi_value arguments[kMaxArguments] = {};
  State* state = nullptr;  // nullptr with an exception pending when `this` is none of ours, or closed

  Call(napi_env environment, napi_callback_info info) : env(environment) {
    size_t count = kMaxArguments;
    napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
    state = static_cast<State*>(UnwrapTagged(env, self, State::kTag, State::kClass));
    if (state == nullptr || state->IsOpen()) return;
    state = nullptr;
    ThrowSystemError(env, EBADF, State::kSubsystem, std::string(State::kClass) + " is closed");
  }

  bool Integer(size_t i, const char* name, int64_t min, int64_t max, int64_t* out) const {
    return GetInteger(env, arguments[i], name, min, max, out);
  }
};

// No exception of C++ may leave a function that JavaScript calls. False with one of JavaScript pending.
template <typename Function>
bool Catch(napi_env env, const char* subsystem, Function function) {
  try {
    function();
    return true;
  } catch (const std::system_error& error) {
    ThrowSystemError(env, error.code().value(), subsystem, error.what());
  } catch (const std::bad_alloc&) {
    ThrowSystemError(env, ENOMEM, subsystem, "there is no memory");
  }
  return false;
}

// Gives the state to the object. It ends when the object is collected or its environment (process, worker) ends, whichever
// comes first. Answers the object, or nullptr with an exception pending.
template <typename State>
napi_value Wrap(napi_env env, napi_value self, std::unique_ptr<State> state) {
  const auto on_environment_end = [](void* data) { static_cast<State*>(data)->End(); };
  const auto finalize = [](napi_env environment, void* data, void* hook) {
    napi_remove_env_cleanup_hook(environment, reinterpret_cast<void (*)(void*)>(hook), data);
    static_cast<State*>(data)->End();
    delete static_cast<State*>(data);
  };
  void (*const hook)(void*) = on_environment_end;
  if (napi_wrap(env, self, state.get(), finalize, reinterpret_cast<void*>(hook), nullptr) != napi_ok) {
    state->End();
    ThrowTypeError(env, std::string(State::kClass) + " must be called with new");
    return nullptr;
  }
  napi_type_tag_object(env, self, &State::kTag);
  napi_add_env_cleanup_hook(env, hook, state.release());
  return self;
}

template <typename State>
napi_value CloseMethod(napi_env env, napi_callback_info info) {
  const Call<State> call(env, info);
  if (call.state != nullptr) call.state->End();
  return nullptr;
}

// update(records): `state->thread->Update(bytes, length)` is false for records that make no sense.
template <typename State>
napi_value UpdateMethod(napi_env env, napi_callback_info info) {
  const Call<State> call(env, info);
  uint8_t* data;
  size_t length;
  if (call.state == nullptr || !GetBytes(env, call.arguments[0], "records", &data, &length)) return nullptr;
  bool good = true;
  if (Catch(env, State::kSubsystem, [&] { good = call.state->thread->Update(data, length); }) && !good)
    ThrowSystemError(env, EINVAL, State::kSubsystem, "these records make no sense");
  return nullptr;
}

// `state->thread->queue()`
template <typename State>
napi_value QueueGetter(napi_env env, napi_callback_info info) {
  const Call<State> call(env, info);
  napi_value number = nullptr;
  if (call.state != nullptr) napi_create_uint32(env, call.state->thread->queue(), &number);
  return number;
}

napi_property_descriptor Method(const char* name, napi_callback method);
napi_property_descriptor Getter(const char* name, napi_callback getter);

// Puts a class, or a function, into `exports`. False with an exception pending.
bool DefineClass(napi_env env, napi_value exports, const char* name, napi_callback constructor,
                 std::initializer_list<napi_property_descriptor> members);
bool DefineFunction(napi_env env, napi_value exports, const char* name, napi_callback function);

// A whole number that is a property of `object`. False with an exception pending.
bool GetNumber(napi_env env, napi_value object, const char* name, int64_t min, int64_t max, int64_t* out);

// A Uint8Array of its own. nullptr with an exception pending.
napi_value BytesArray(napi_env env, const uint8_t* bytes, size_t length);

}  // namespace penstock

#endif  // PENSTOCK_NAPI_CLASS_H_
