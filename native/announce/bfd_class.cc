// class BfdEngine, as src/kernel/announce/NativeBfd.ts describes it.
#include <memory>
#include <string>
#include <system_error>

#include "../napi_support.h"
#include "bfd_engine.h"
#include "notifier.h"
#include "responder_class.h"

namespace penstock {

namespace {

using namespace announce;

constexpr napi_type_tag kTypeTag = {0x6a0e93d8b1f7425c, 0xc84d17a2f0953be6};

struct Wrapped {
  std::unique_ptr<BfdEngine> engine;
  Notifier notifier;

  void End() {
    engine.reset();
    notifier.Close();
  }
};

void OnEnvironmentEnd(void* data) { static_cast<Wrapped*>(data)->End(); }

Wrapped* Unwrap(napi_env env, napi_callback_info info, napi_value* argument) {
  size_t count = 1;
  napi_value self;
  void* data = nullptr;
  bool ours = false;
  napi_get_cb_info(env, info, &count, argument, &self, nullptr);
  if (napi_check_object_type_tag(env, self, &kTypeTag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, self, &data) != napi_ok) {
    ThrowTypeError(env, "this must be a BfdEngine");
    return nullptr;
  }
  auto* wrapped = static_cast<Wrapped*>(data);
  if (wrapped->engine) return wrapped;
  ThrowSystemError(env, EBADF, "bfd", "the engine is closed");
  return nullptr;
}

bool GetIp(napi_env env, napi_value object, const char* name, Ip* ip) {
  napi_value value;
  uint8_t* data;
  size_t length;
  if (napi_get_named_property(env, object, name, &value) != napi_ok || !GetBytes(env, value, name, &data, &length)) return false;
  if (length == 4 || length == 16) *ip = Ip::From(data, length == 16);
  else if (length != 0) {
    ThrowRangeError(env, std::string(name) + " must have 0, 4 or 16 bytes");
    return false;
  }
  return true;
}

bool GetNumber(napi_env env, napi_value object, const char* name, int64_t min, int64_t max, int64_t* out) {
  napi_value value;
  return napi_get_named_property(env, object, name, &value) == napi_ok && GetInteger(env, value, name, min, max, out);
}

// new BfdEngine(onChanges)
napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, self;
  napi_get_cb_info(env, info, &count, &argument, &self, nullptr);
  if (!GetFunction(env, argument, "onChanges")) return nullptr;
  auto wrapped = std::make_unique<Wrapped>();
  if (!wrapped->notifier.Open(env, argument, "bfd")) {
    ThrowTypeError(env, "onChanges cannot be called from a thread");
    return nullptr;
  }
  try {
    wrapped->engine = std::make_unique<BfdEngine>([notifier = wrapped->notifier] { notifier.Notify(); });
  } catch (const std::system_error& error) {
    wrapped->End();
    ThrowSystemError(env, error.code().value(), "bfd", error.what());
    return nullptr;
  }
  const auto finalize = [](napi_env environment, void* data, void*) {
    auto* ended = static_cast<Wrapped*>(data);
    napi_remove_env_cleanup_hook(environment, OnEnvironmentEnd, ended);
    ended->End();
    delete ended;
  };
  if (napi_wrap(env, self, wrapped.get(), finalize, nullptr, nullptr) != napi_ok) {
    wrapped->End();
    ThrowTypeError(env, "BfdEngine must be called with new");
    return nullptr;
  }
  napi_type_tag_object(env, self, &kTypeTag);
  napi_add_env_cleanup_hook(env, OnEnvironmentEnd, wrapped.release());
  return self;
}

// add({peer, source, transmitMs, receiveMs, multiplier, passive, leastTtl})
napi_value Add(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  BfdWish wish;
  int64_t transmit, receive, multiplier, passive, least_ttl;
  if (wrapped == nullptr || !GetIp(env, argument, "peer", &wish.peer) || !GetIp(env, argument, "source", &wish.source) ||
      !GetNumber(env, argument, "transmitMs", 10, 60'000, &transmit) ||
      !GetNumber(env, argument, "receiveMs", 10, 60'000, &receive) ||
      !GetNumber(env, argument, "multiplier", 1, 255, &multiplier) || !GetNumber(env, argument, "passive", 0, 1, &passive) ||
      !GetNumber(env, argument, "leastTtl", 1, 255, &least_ttl)) {
    return nullptr;
  }
  wish.options = {static_cast<uint32_t>(transmit * 1000), static_cast<uint32_t>(receive * 1000), static_cast<uint8_t>(multiplier),
                  passive != 0};
  wish.least_ttl = static_cast<uint8_t>(least_ttl);
  try {
    wrapped->engine->Add(wish);
  } catch (const std::system_error& error) {
    ThrowSystemError(env, error.code().value(), "bfd", error.what());
  }
  return nullptr;
}

napi_value Remove(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  uint8_t* data;
  size_t length;
  if (wrapped != nullptr && GetBytes(env, argument, "peer", &data, &length) && (length == 4 || length == 16))
    wrapped->engine->Remove(Ip::From(data, length == 16));
  return nullptr;
}

// takeChanges() → [{peer, state, diag}, …]
napi_value TakeChanges(napi_env env, napi_callback_info info) {
  napi_value argument, array = nullptr;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  if (wrapped == nullptr || napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const BfdChange& change : wrapped->engine->TakeChanges()) {
    napi_value object, buffer, bytes, state, diag;
    void* data = nullptr;
    if (napi_create_object(env, &object) != napi_ok ||
        napi_create_arraybuffer(env, change.peer.size(), &data, &buffer) != napi_ok ||
        napi_create_typedarray(env, napi_uint8_array, change.peer.size(), buffer, 0, &bytes) != napi_ok ||
        napi_create_uint32(env, static_cast<uint32_t>(change.state), &state) != napi_ok ||
        napi_create_uint32(env, static_cast<uint32_t>(change.diag), &diag) != napi_ok) {
      return nullptr;
    }
    memcpy(data, change.peer.bytes.data(), change.peer.size());
    napi_set_named_property(env, object, "peer", bytes);
    napi_set_named_property(env, object, "state", state);
    napi_set_named_property(env, object, "diag", diag);
    napi_set_element(env, array, i++, object);
  }
  return array;
}

napi_value Close(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  if (wrapped != nullptr) wrapped->End();
  return nullptr;
}

napi_property_descriptor Method(const char* name, napi_callback method) {
  return {name, nullptr, method, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

}  // namespace

bool DefineBfdEngine(napi_env env, napi_value exports) {
  const napi_property_descriptor members[] = {Method("add", Add), Method("remove", Remove), Method("takeChanges", TakeChanges),
                                              Method("close", Close)};
  napi_value constructor;
  return napi_define_class(env, "BfdEngine", NAPI_AUTO_LENGTH, New, nullptr, sizeof members / sizeof members[0], members,
                           &constructor) == napi_ok &&
         napi_set_named_property(env, exports, "BfdEngine", constructor) == napi_ok;
}

}  // namespace penstock
