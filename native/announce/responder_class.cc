// What JavaScript sees of the responder's thread.
#include "responder_class.h"

#include <memory>
#include <utility>
#include <vector>

#include "../napi_class.h"
#include "../notifier.h"
#include "records.h"
#include "responder.h"

namespace penstock {

namespace {

using namespace announce;

struct Announcer {
  static constexpr napi_type_tag kTag = {0x8d1f6a2be07c4935, 0xa3c05b7e92d1f846};
  static constexpr const char* kClass = "AnnounceResponder";
  static constexpr const char* kSubsystem = "announce";

  std::unique_ptr<Responder> responder;
  Notifier notifier;

  bool IsOpen() const { return responder != nullptr; }
  // The thread ends before what it calls.
  void End() {
    responder.reset();
    notifier.Close();
  }
};

using ResponderCall = Call<Announcer>;

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
  auto announcer = std::make_unique<Announcer>();
  if (!announcer->notifier.Open(env, arguments[1], "announce")) {
    ThrowTypeError(env, "onEvents cannot be called from a thread");
    return nullptr;
  }
  options.on_events = [notifier = announcer->notifier] { notifier.Notify(); };
  if (!Catch(env, Announcer::kSubsystem, [&] { announcer->responder = std::make_unique<Responder>(std::move(options)); })) {
    announcer->End();
    return nullptr;
  }
  return Wrap(env, self, std::move(announcer));
}

// setInterfaces([{index, linkLocal, mac, up}]) → [index, errno, …] of those that cannot be used. mac and up come from the kernel.
napi_value SetInterfaces(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  napi_value array = nullptr;
  std::vector<Interface> interfaces;
  if (call.state == nullptr || !ReadInterfaces(env, call.arguments[0], &interfaces)) return nullptr;
  std::vector<InterfaceWish> wishes;
  for (const Interface& each : interfaces) wishes.push_back({each.index, each.link_local});
  const auto failed = call.state->responder->SetInterfaces(wishes);
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
  const ResponderCall call(env, info);
  std::vector<PeerWish> peers;
  if (call.state != nullptr && ReadPeers(env, call.arguments[0], &peers)) call.state->responder->SetPeers(peers);
  return nullptr;
}

constexpr int64_t kMaxTime = int64_t{1} << 52;

// Milliseconds on the clock of `now`.
napi_value SetFreshUntil(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  int64_t until;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "until", 0, kMaxTime, &until)) call.state->responder->SetFreshUntil(until);
  return nullptr;
}

napi_value SetLeaving(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  int64_t leaving;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "leaving", 0, 1, &leaving)) call.state->responder->SetLeaving(leaving != 0);
  return nullptr;
}

napi_value SetEndsWithAgent(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  int64_t ends;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "ends", 0, 1, &ends)) call.state->responder->SetEndsWithAgent(ends != 0);
  return nullptr;
}

napi_value Run(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  std::vector<Order> orders;
  if (call.state != nullptr && ReadOrders(env, call.arguments[0], &orders)) call.state->responder->Run(orders);
  return nullptr;
}

napi_value TakeEvents(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  return call.state == nullptr ? nullptr : EventsArray(env, call.state->responder->TakeEvents());
}

napi_value Status(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  return call.state == nullptr ? nullptr : StatusObject(env, call.state->responder->Status());
}

napi_value NowOf(napi_env env, napi_callback_info info) {
  const ResponderCall call(env, info);
  napi_value value = nullptr;
  if (call.state != nullptr) napi_create_double(env, static_cast<double>(Now()), &value);
  return value;
}

}  // namespace

bool DefineAnnounceResponder(napi_env env, napi_value exports) {
  return DefineClass(env, exports, Announcer::kClass, New,
                     {Method("setInterfaces", SetInterfaces), Method("setPeers", SetPeers),
                      Method("setFreshUntil", SetFreshUntil), Method("setLeaving", SetLeaving), Method("setEndsWithAgent", SetEndsWithAgent), Method("run", Run),
                      Method("takeEvents", TakeEvents), Method("status", Status), Method("now", NowOf),
                      Method("close", CloseMethod<Announcer>)});
}

}  // namespace penstock
