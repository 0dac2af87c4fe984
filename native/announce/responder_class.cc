// What JavaScript sees of the responder's thread.
#include "responder_class.h"

#include <memory>
#include <system_error>
#include <vector>

#include "../napi_support.h"
#include "notifier.h"
#include "records.h"
#include "responder.h"

namespace penstock {

namespace {

using namespace announce;

constexpr napi_type_tag kTypeTag = {0x8d1f6a2be07c4935, 0xa3c05b7e92d1f846};

struct Wrapped {
  std::unique_ptr<Responder> responder;
  Notifier notifier;

  // The thread ends before what it calls.
  void End() {
    responder.reset();
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
    ThrowTypeError(env, "this must be an AnnounceResponder");
    return nullptr;
  }
  auto* wrapped = static_cast<Wrapped*>(data);
  if (wrapped->responder) return wrapped;
  ThrowSystemError(env, EBADF, "announce", "the responder is closed");
  return nullptr;
}

bool GetNumber(napi_env env, napi_value options, const char* name, int64_t min, int64_t max, int64_t* out) {
  napi_value value;
  return napi_get_named_property(env, options, name, &value) == napi_ok && GetInteger(env, value, name, min, max, out);
}

// new AnnounceResponder({node, port, everyMs, lost}, onEvents)
napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], self, value;
  napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
  int64_t port, every, lost;
  ResponderOptions options;
  if (napi_get_named_property(env, arguments[0], "node", &value) != napi_ok ||
      !GetString(env, value, "node", &options.self) || !GetNumber(env, arguments[0], "port", 0, 65535, &port) ||
      !GetNumber(env, arguments[0], "everyMs", 10, 60'000, &every) ||
      !GetNumber(env, arguments[0], "lost", 1, 100, &lost) || !GetFunction(env, arguments[1], "onEvents")) {
    return nullptr;
  }
  options.port = static_cast<uint16_t>(port);
  options.timing = {every, static_cast<int>(lost)};
  auto wrapped = std::make_unique<Wrapped>();
  if (!wrapped->notifier.Open(env, arguments[1], "announce")) {
    ThrowTypeError(env, "onEvents cannot be called from a thread");
    return nullptr;
  }
  options.on_events = [notifier = wrapped->notifier] { notifier.Notify(); };
  try {
    wrapped->responder = std::make_unique<Responder>(std::move(options));
  } catch (const std::system_error& error) {
    wrapped->End();
    ThrowSystemError(env, error.code().value(), "announce", error.what());
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
    ThrowTypeError(env, "AnnounceResponder must be called with new");
    return nullptr;
  }
  napi_type_tag_object(env, self, &kTypeTag);
  napi_add_env_cleanup_hook(env, OnEnvironmentEnd, wrapped.release());
  return self;
}

// setInterfaces([{index, linkLocal, mac, up}]) → [index, errno, …] of those that cannot be used. mac and up come from the kernel.
napi_value SetInterfaces(napi_env env, napi_callback_info info) {
  napi_value argument, array = nullptr;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  std::vector<Interface> interfaces;
  if (wrapped == nullptr || !ReadInterfaces(env, argument, &interfaces)) return nullptr;
  std::vector<InterfaceWish> wishes;
  for (const Interface& each : interfaces) wishes.push_back({each.index, each.link_local});
  const auto failed = wrapped->responder->SetInterfaces(wishes);
  if (napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const auto& [index, error] : failed) {
    for (const int number : {index, error}) {
      napi_value value;
      napi_create_int32(env, number, &value);
      napi_set_element(env, array, i++, value);
    }
  }
  return array;
}

napi_value SetPeers(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  std::vector<PeerWish> peers;
  if (wrapped != nullptr && ReadPeers(env, argument, &peers)) wrapped->responder->SetPeers(peers);
  return nullptr;
}

constexpr int64_t kMaxTime = int64_t{1} << 52;

// Milliseconds on the clock of `now`.
napi_value SetFreshUntil(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  int64_t until;
  if (wrapped != nullptr && GetInteger(env, argument, "until", 0, kMaxTime, &until)) wrapped->responder->SetFreshUntil(until);
  return nullptr;
}

napi_value SetLeaving(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  int64_t leaving;
  if (wrapped != nullptr && GetInteger(env, argument, "leaving", 0, 1, &leaving)) wrapped->responder->SetLeaving(leaving != 0);
  return nullptr;
}

napi_value Run(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  std::vector<Order> orders;
  if (wrapped != nullptr && ReadOrders(env, argument, &orders)) wrapped->responder->Run(orders);
  return nullptr;
}

napi_value TakeEvents(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  return wrapped == nullptr ? nullptr : EventsArray(env, wrapped->responder->TakeEvents());
}

napi_value Status(napi_env env, napi_callback_info info) {
  napi_value argument;
  Wrapped* wrapped = Unwrap(env, info, &argument);
  return wrapped == nullptr ? nullptr : StatusObject(env, wrapped->responder->Status());
}

napi_value NowOf(napi_env env, napi_callback_info info) {
  napi_value argument, value = nullptr;
  if (Unwrap(env, info, &argument) != nullptr) napi_create_double(env, static_cast<double>(Now()), &value);
  return value;
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

bool DefineAnnounceResponder(napi_env env, napi_value exports) {
  const napi_property_descriptor members[] = {
      Method("setInterfaces", SetInterfaces), Method("setPeers", SetPeers), Method("setFreshUntil", SetFreshUntil),
      Method("setLeaving", SetLeaving),       Method("run", Run),           Method("takeEvents", TakeEvents),
      Method("status", Status),               Method("now", NowOf),         Method("close", Close),
  };
  napi_value constructor;
  return napi_define_class(env, "AnnounceResponder", NAPI_AUTO_LENGTH, New, nullptr, sizeof members / sizeof members[0],
                           members, &constructor) == napi_ok &&
         napi_set_named_property(env, exports, "AnnounceResponder", constructor) == napi_ok;
}

}  // namespace penstock
