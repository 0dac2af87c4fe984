// The same machines as the thread runs, with frames, datagrams and time from JavaScript: for tests and the simulation.
#include <memory>
#include <utility>
#include <vector>

#include "../napi_support.h"
#include "records.h"
#include "responder_class.h"

namespace penstock {

namespace {

using namespace announce;

constexpr napi_type_tag kTypeTag = {0x51c7e90d3ab84f26, 0xb9204d6f8ea17c35};
constexpr int64_t kMaxTime = int64_t{1} << 52;

struct Sent {
  int interface;
  Frame frame;
};

struct Model : Surroundings {
  Model(std::string self, HeartbeatTiming timing) : core(self, this), heartbeats(self, timing, 0) {}

  void Send(int interface, const Frame& frame) override { sent.push_back({interface, frame}); }
  void WantedChanged(int) override {}

  Core core;
  Heartbeats heartbeats;
  std::vector<PeerWish> peers;
  std::vector<Sent> sent;
  std::vector<Event> events;
};

struct Call {
  napi_env env;
  napi_value arguments[4] = {};
  Model* model = nullptr;

  Call(napi_env environment, napi_callback_info info) : env(environment) {
    size_t count = 4;
    napi_value self;
    void* data = nullptr;
    bool ours = false;
    napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
    if (napi_check_object_type_tag(env, self, &kTypeTag, &ours) == napi_ok && ours && napi_unwrap(env, self, &data) == napi_ok)
      model = static_cast<Model*>(data);
    else ThrowTypeError(env, "this must be an AnnounceModel");
  }

  bool Number(size_t i, const char* name, int64_t max, int64_t* out) const {
    return GetInteger(env, arguments[i], name, 0, max, out);
  }
};

napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3], self;
  napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
  std::string name;
  int64_t every, lost;
  if (!GetString(env, arguments[0], "node", &name) || !GetInteger(env, arguments[1], "everyMs", 10, 60'000, &every) ||
      !GetInteger(env, arguments[2], "lost", 1, 100, &lost)) {
    return nullptr;
  }
  auto model = std::make_unique<Model>(name, HeartbeatTiming{every, static_cast<int>(lost)});
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Model*>(data); };
  if (napi_wrap(env, self, model.get(), finalize, nullptr, nullptr) != napi_ok) {
    ThrowTypeError(env, "AnnounceModel must be called with new");
    return nullptr;
  }
  napi_type_tag_object(env, self, &kTypeTag);
  [[maybe_unused]] const Model* released = model.release();
  return self;
}

napi_value SetInterfaces(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  std::vector<Interface> interfaces;
  int64_t now;
  if (call.model != nullptr && ReadInterfaces(env, call.arguments[0], &interfaces) && call.Number(1, "now", kMaxTime, &now))
    call.model->core.SetInterfaces(interfaces, now);
  return nullptr;
}

napi_value SetPeers(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  std::vector<PeerWish> wishes;
  if (call.model == nullptr || !ReadPeers(env, call.arguments[0], &wishes)) return nullptr;
  call.model->peers = wishes;
  call.model->heartbeats.SetPeers(TargetsOf(wishes));
  call.model->core.SetPeers(KnownPeers(wishes, call.model->heartbeats));
  return nullptr;
}

napi_value SetFreshUntil(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t until;
  if (call.model != nullptr && call.Number(0, "until", kMaxTime, &until)) call.model->core.SetFreshUntil(until);
  return nullptr;
}

napi_value SetLeaving(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t leaving;
  if (call.model != nullptr && call.Number(0, "leaving", 1, &leaving)) call.model->heartbeats.SetLeaving(leaving != 0);
  return nullptr;
}

napi_value Run(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  std::vector<Order> orders;
  int64_t now;
  if (call.model == nullptr || !ReadOrders(env, call.arguments[0], &orders) || !call.Number(1, "now", kMaxTime, &now)) return nullptr;
  RunOrders(&call.model->core, orders, now);
  return nullptr;
}

// frame(interface, bytes, now, backlog)
napi_value OnFrame(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t interface, now, backlog;
  uint8_t* data;
  size_t length;
  if (call.model != nullptr && call.Number(0, "interface", INT32_MAX, &interface) &&
      GetBytes(env, call.arguments[1], "frame", &data, &length) && call.Number(2, "now", kMaxTime, &now) &&
      call.Number(3, "backlog", 1, &backlog)) {
    call.model->core.OnFrame(static_cast<int>(interface), data, length, now, backlog != 0);
  }
  return nullptr;
}

// link(interface, up, now)
napi_value OnLink(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t interface, up, now;
  if (call.model != nullptr && call.Number(0, "interface", INT32_MAX, &interface) && call.Number(1, "up", 1, &up) &&
      call.Number(2, "now", kMaxTime, &now)) {
    call.model->core.OnLink(static_cast<int>(interface), up != 0, std::nullopt, now);
  }
  return nullptr;
}

// pause(milliseconds, now): what the thread does when it did not run for so long.
napi_value OnPause(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t paused, now;
  if (call.model != nullptr && call.Number(0, "paused", kMaxTime, &paused) && call.Number(1, "now", kMaxTime, &now)) {
    call.model->heartbeats.OnPause(now);
    call.model->core.OnPause(paused, now);
  }
  return nullptr;
}

// datagram(from, bytes, now)
napi_value OnDatagram(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  uint8_t *from, *data;
  size_t from_length, length;
  int64_t now;
  if (call.model != nullptr && GetBytes(env, call.arguments[0], "from", &from, &from_length) &&
      GetBytes(env, call.arguments[1], "datagram", &data, &length) && call.Number(2, "now", kMaxTime, &now) &&
      (from_length == 4 || from_length == 16)) {
    call.model->heartbeats.OnDatagram(Ip::From(from, from_length == 16), data, length, now, &call.model->events);
    if (call.model->heartbeats.TakeMacsChanged()) call.model->core.SetPeers(KnownPeers(call.model->peers, call.model->heartbeats));
  }
  return nullptr;
}

napi_value Bytes(napi_env env, const std::vector<uint8_t>& bytes) {
  napi_value buffer, array = nullptr;
  void* data = nullptr;
  if (napi_create_arraybuffer(env, bytes.size(), &data, &buffer) != napi_ok) return nullptr;
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(data));
  napi_create_typedarray(env, napi_uint8_array, bytes.size(), buffer, 0, &array);
  return array;
}

// advance(now) → the heartbeat to send to every peer, when one is due.
napi_value Advance(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t now;
  if (call.model == nullptr || !call.Number(0, "now", kMaxTime, &now)) return nullptr;
  Model& model = *call.model;
  const bool due = model.heartbeats.Tick(now, &model.events);
  model.core.SetDeaf(model.heartbeats.deaf());
  model.core.Advance(now);
  return due ? Bytes(env, model.heartbeats.Datagram(model.core.macs(), model.core.heard_of())) : nullptr;
}

// takeFrames() → [interface, bytes, …]
napi_value TakeFrames(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  napi_value array = nullptr;
  if (call.model == nullptr || napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const Sent& sent : std::exchange(call.model->sent, {})) {
    napi_value interface;
    napi_create_int32(env, sent.interface, &interface);
    napi_set_element(env, array, i++, interface);
    napi_set_element(env, array, i++, Bytes(env, sent.frame));
  }
  return array;
}

napi_value TakeEvents(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  if (call.model == nullptr) return nullptr;
  std::vector<Event> events = std::exchange(call.model->events, {});
  for (Event& event : call.model->core.TakeEvents()) events.push_back(std::move(event));
  return EventsArray(env, events);
}

// stateOf(interface, address) → 0 observing, 1 probing, 2 owning, 3 ceding; -1 unknown.
napi_value StateOf(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t interface;
  uint8_t* data;
  size_t length;
  napi_value value = nullptr;
  if (call.model == nullptr || !call.Number(0, "interface", INT32_MAX, &interface) ||
      !GetBytes(env, call.arguments[1], "address", &data, &length) || (length != 4 && length != 16)) {
    return nullptr;
  }
  const auto state = call.model->core.StateOf(static_cast<int>(interface), Ip::From(data, length == 16));
  napi_create_int32(env, state ? static_cast<int>(*state) : -1, &value);
  return value;
}

napi_value Status(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  int64_t now;
  if (call.model == nullptr || !call.Number(0, "now", kMaxTime, &now)) return nullptr;
  const Model& model = *call.model;
  return StatusObject(env, {model.core.counters(), model.core.owned(), 0, model.heartbeats.deaf(), model.heartbeats.Status(now),
                            model.core.heard_of()});
}

napi_property_descriptor Method(const char* name, napi_callback method) {
  return {name, nullptr, method, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

}  // namespace

bool DefineAnnounceModel(napi_env env, napi_value exports) {
  const napi_property_descriptor members[] = {
      Method("setInterfaces", SetInterfaces), Method("setPeers", SetPeers),     Method("setFreshUntil", SetFreshUntil),
      Method("setLeaving", SetLeaving),       Method("run", Run),               Method("frame", OnFrame),
      Method("link", OnLink),                 Method("pause", OnPause),         Method("datagram", OnDatagram),
      Method("advance", Advance),             Method("takeFrames", TakeFrames), Method("takeEvents", TakeEvents),
      Method("stateOf", StateOf),             Method("status", Status),
  };
  napi_value constructor;
  return napi_define_class(env, "AnnounceModel", NAPI_AUTO_LENGTH, New, nullptr, sizeof members / sizeof members[0], members,
                           &constructor) == napi_ok &&
         napi_set_named_property(env, exports, "AnnounceModel", constructor) == napi_ok;
}

}  // namespace penstock
