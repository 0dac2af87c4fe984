// class BfdEngine, as src/kernel/announce/NativeBfd.ts describes it.
#include <memory>
#include <utility>

#include "../../napi_class.h"
#include "bfd_engine.h"
#include "../../notifier.h"
#include "../records.h"
#include "../responder_class.h"

namespace penstock {

namespace {

using namespace announce;

struct Bfd {
  static constexpr napi_type_tag kTag = {0x6a0e93d8b1f7425c, 0xc84d17a2f0953be6};
  static constexpr const char* kClass = "BfdEngine";
  static constexpr const char* kSubsystem = "bfd";

  std::unique_ptr<BfdEngine> engine;
  Notifier notifier;

  bool IsOpen() const { return engine != nullptr; }
  // The thread ends before what it calls.
  void End() {
    engine.reset();
    notifier.Close();
  }
};

// new BfdEngine(onChanges)
napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, self;
  napi_get_cb_info(env, info, &count, &argument, &self, nullptr);
  if (!GetFunction(env, argument, "onChanges")) return nullptr;
  auto bfd = std::make_unique<Bfd>();
  if (!bfd->notifier.Open(env, argument, "bfd")) {
    ThrowTypeError(env, "onChanges cannot be called from a thread");
    return nullptr;
  }
  if (!Catch(env, Bfd::kSubsystem, [&] {
        bfd->engine = std::make_unique<BfdEngine>([notifier = bfd->notifier] { notifier.Notify(); });
      })) {
    bfd->End();
    return nullptr;
  }
  return Wrap(env, self, std::move(bfd));
}

// add({peer, source, transmitMs, receiveMs, multiplier, passive, leastTtl})
napi_value Add(napi_env env, napi_callback_info info) {
  const Call<Bfd> call(env, info);
  const napi_value argument = call.arguments[0];
  BfdWish wish;
  int64_t transmit, receive, multiplier, passive, least_ttl;
  if (call.state == nullptr || !ReadIp(env, argument, "peer", &wish.peer) || !ReadIp(env, argument, "source", &wish.source) ||
      !GetNumber(env, argument, "transmitMs", 10, 60'000, &transmit) ||
      !GetNumber(env, argument, "receiveMs", 10, 60'000, &receive) ||
      !GetNumber(env, argument, "multiplier", 1, 255, &multiplier) || !GetNumber(env, argument, "passive", 0, 1, &passive) ||
      !GetNumber(env, argument, "leastTtl", 1, 255, &least_ttl)) {
    return nullptr;
  }
  wish.options = {static_cast<uint32_t>(transmit * 1000), static_cast<uint32_t>(receive * 1000), static_cast<uint8_t>(multiplier),
                  passive != 0};
  wish.least_ttl = static_cast<uint8_t>(least_ttl);
  Catch(env, Bfd::kSubsystem, [&] { call.state->engine->Add(wish); });
  return nullptr;
}

napi_value Remove(napi_env env, napi_callback_info info) {
  const Call<Bfd> call(env, info);
  uint8_t* data;
  size_t length;
  if (call.state != nullptr && GetBytes(env, call.arguments[0], "peer", &data, &length) && (length == 4 || length == 16))
    call.state->engine->Remove(Ip::From(data, length == 16));
  return nullptr;
}

// takeChanges() → [{peer, state, diag, at}, …]
napi_value TakeChanges(napi_env env, napi_callback_info info) {
  const Call<Bfd> call(env, info);
  napi_value array = nullptr;
  if (call.state == nullptr || napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const BfdChange& change : call.state->engine->TakeChanges()) {
    napi_value object, state, diag, at;
    const napi_value peer = BytesArray(env, change.peer.bytes.data(), change.peer.size());
    if (peer == nullptr || napi_create_object(env, &object) != napi_ok ||
        napi_create_uint32(env, static_cast<uint32_t>(change.state), &state) != napi_ok ||
        napi_create_uint32(env, static_cast<uint32_t>(change.diag), &diag) != napi_ok ||
        napi_create_double(env, static_cast<double>(change.at) / 1000, &at) != napi_ok) {
      return nullptr;
    }
    napi_set_named_property(env, object, "peer", peer);
    napi_set_named_property(env, object, "state", state);
    napi_set_named_property(env, object, "diag", diag);
    napi_set_named_property(env, object, "at", at);
    napi_set_element(env, array, i++, object);
  }
  return array;
}

// takeLateness() → microseconds by which the latest packet came late since the last call.
napi_value TakeLateness(napi_env env, napi_callback_info info) {
  const Call<Bfd> call(env, info);
  napi_value value = nullptr;
  if (call.state != nullptr) napi_create_double(env, static_cast<double>(call.state->engine->TakeLateness()), &value);
  return value;
}

}  // namespace

bool DefineBfdEngine(napi_env env, napi_value exports) {
  return DefineClass(env, exports, Bfd::kClass, New,
                     {Method("add", Add), Method("remove", Remove), Method("takeChanges", TakeChanges),
                      Method("takeLateness", TakeLateness), Method("close", CloseMethod<Bfd>)});
}

}  // namespace penstock
