// The same machines as the thread runs, with frames, datagrams and time from JavaScript: for tests and the simulation.
#include <memory>
#include <utility>
#include <vector>

#include "../napi_class.h"
#include "records.h"
#include "responder_class.h"

namespace penstock {

namespace {

using namespace announce;

constexpr int64_t kMaxTime = int64_t{1} << 52;

struct Sent {
  int interface;
  Frame frame;
};

struct Model : Surroundings {
  static constexpr napi_type_tag kTag = {0x51c7e90d3ab84f26, 0xb9204d6f8ea17c35};
  static constexpr const char* kClass = "AnnounceModel";
  static constexpr const char* kSubsystem = "announce";

  Model(std::string self, HeartbeatTiming timing) : core(self, this), heartbeats(self, timing, 0) {}

  // It holds nothing that could be closed.
  bool IsOpen() const { return true; }
  void End() {}

  void Send(int interface, const Frame& frame) override { sent.push_back({interface, frame}); }
  void WantedChanged(int) override {}

  Core core;
  Heartbeats heartbeats;
  std::vector<PeerWish> peers;
  std::vector<Sent> sent;
};

using ModelCall = Call<Model>;

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
  return Wrap(env, self, std::move(model));
}

napi_value SetInterfaces(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  std::vector<Interface> interfaces;
  int64_t now;
  if (call.state != nullptr && ReadInterfaces(env, call.arguments[0], &interfaces) && call.Integer(1, "now", 0, kMaxTime, &now))
    call.state->core.SetInterfaces(interfaces, now);
  return nullptr;
}

napi_value SetPeers(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  std::vector<PeerWish> wishes;
  if (call.state == nullptr || !ReadPeers(env, call.arguments[0], &wishes)) return nullptr;
  call.state->peers = wishes;
  call.state->heartbeats.SetPeers(TargetsOf(wishes));
  call.state->core.SetPeers(KnownPeers(wishes, call.state->heartbeats));
  return nullptr;
}

napi_value SetFreshUntil(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t until;
  if (call.state != nullptr && call.Integer(0, "until", 0, kMaxTime, &until)) call.state->core.SetFreshUntil(until);
  return nullptr;
}

napi_value SetLeaving(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t leaving;
  if (call.state != nullptr && call.Integer(0, "leaving", 0, 1, &leaving)) call.state->heartbeats.SetLeaving(leaving != 0);
  return nullptr;
}

napi_value SetEndsWithAgent(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t ends;
  if (call.state != nullptr && call.Integer(0, "ends", 0, 1, &ends)) call.state->heartbeats.SetEndsWithAgent(ends != 0);
  return nullptr;
}

napi_value Run(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  std::vector<Order> orders;
  int64_t now;
  if (call.state == nullptr || !ReadOrders(env, call.arguments[0], &orders) || !call.Integer(1, "now", 0, kMaxTime, &now)) return nullptr;
  RunOrders(&call.state->core, orders, now);
  return nullptr;
}

// frame(interface, bytes, now, backlog)
napi_value OnFrame(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t interface, now, backlog;
  uint8_t* data;
  size_t length;
  if (call.state != nullptr && call.Integer(0, "interface", 0, INT32_MAX, &interface) &&
      GetBytes(env, call.arguments[1], "frame", &data, &length) && call.Integer(2, "now", 0, kMaxTime, &now) &&
      call.Integer(3, "backlog", 0, 1, &backlog)) {
    call.state->core.OnFrame(static_cast<int>(interface), data, length, now, backlog != 0);
  }
  return nullptr;
}

// link(interface, up, now)
napi_value OnLink(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t interface, up, now;
  if (call.state != nullptr && call.Integer(0, "interface", 0, INT32_MAX, &interface) && call.Integer(1, "up", 0, 1, &up) &&
      call.Integer(2, "now", 0, kMaxTime, &now)) {
    call.state->core.OnLink(static_cast<int>(interface), up != 0, std::nullopt, now);
  }
  return nullptr;
}

// pause(milliseconds, now): what the thread does when it did not run for so long.
napi_value OnPause(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t paused, now;
  if (call.state != nullptr && call.Integer(0, "paused", 0, kMaxTime, &paused) && call.Integer(1, "now", 0, kMaxTime, &now)) {
    call.state->heartbeats.OnPause(now);
    call.state->core.OnPause(paused, now);
  }
  return nullptr;
}

// datagram(from, bytes, now)
napi_value OnDatagram(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  uint8_t *from, *data;
  size_t from_length, length;
  int64_t now;
  if (call.state != nullptr && GetBytes(env, call.arguments[0], "from", &from, &from_length) &&
      GetBytes(env, call.arguments[1], "datagram", &data, &length) && call.Integer(2, "now", 0, kMaxTime, &now) &&
      (from_length == 4 || from_length == 16)) {
    call.state->heartbeats.OnDatagram(Ip::From(from, from_length == 16), data, length, now, call.state->core.events());
    if (call.state->heartbeats.TakeMacsChanged()) call.state->core.SetPeers(KnownPeers(call.state->peers, call.state->heartbeats));
  }
  return nullptr;
}

// advance(now) → the heartbeat to send to every peer, when one is due.
napi_value Advance(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t now;
  if (call.state == nullptr || !call.Integer(0, "now", 0, kMaxTime, &now)) return nullptr;
  Model& model = *call.state;
  const bool due = model.heartbeats.Tick(now, model.core.events());
  model.core.SetDeaf(model.heartbeats.deaf());
  model.core.Advance(now);
  if (!due) return nullptr;
  const std::vector<uint8_t> datagram = model.heartbeats.Datagram(model.core.macs(), model.core.heard_of());
  return BytesArray(env, datagram.data(), datagram.size());
}

// takeFrames() → [interface, bytes, …]
napi_value TakeFrames(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  napi_value array = nullptr;
  if (call.state == nullptr || napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const Sent& sent : std::exchange(call.state->sent, {})) {
    napi_value interface;
    napi_create_int32(env, sent.interface, &interface);
    napi_set_element(env, array, i++, interface);
    napi_set_element(env, array, i++, BytesArray(env, sent.frame.data(), sent.frame.size()));
  }
  return array;
}

napi_value TakeEvents(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  return call.state == nullptr ? nullptr : EventsArray(env, call.state->core.events()->Take());
}

// tells(now) → 1 when the thread would tell JavaScript now that events wait; it counts as told then.
napi_value Tells(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t now;
  napi_value value = nullptr;
  if (call.state == nullptr || !call.Integer(0, "now", 0, kMaxTime, &now)) return nullptr;
  EventQueue* events = call.state->core.events();
  const auto due = events->due();
  const bool tells = due && *due <= now;
  if (tells) events->Told(now);
  napi_create_int32(env, tells ? 1 : 0, &value);
  return value;
}

// stateOf(interface, address) → 0 observing, 1 probing, 2 owning, 3 ceding; -1 unknown.
napi_value StateOf(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t interface;
  uint8_t* data;
  size_t length;
  napi_value value = nullptr;
  if (call.state == nullptr || !call.Integer(0, "interface", 0, INT32_MAX, &interface) ||
      !GetBytes(env, call.arguments[1], "address", &data, &length) || (length != 4 && length != 16)) {
    return nullptr;
  }
  const auto state = call.state->core.StateOf(static_cast<int>(interface), Ip::From(data, length == 16));
  napi_create_int32(env, state ? static_cast<int>(*state) : -1, &value);
  return value;
}

napi_value Status(napi_env env, napi_callback_info info) {
  const ModelCall call(env, info);
  int64_t now;
  if (call.state == nullptr || !call.Integer(0, "now", 0, kMaxTime, &now)) return nullptr;
  const Model& model = *call.state;
  return StatusObject(env, {model.core.counters(), model.core.owned(), 0, model.heartbeats.deaf(), model.heartbeats.Status(now),
                            model.core.heard_of()});
}

}  // namespace

bool DefineAnnounceModel(napi_env env, napi_value exports) {
  return DefineClass(
      env, exports, Model::kClass, New,
      {Method("setInterfaces", SetInterfaces), Method("setPeers", SetPeers), Method("setFreshUntil", SetFreshUntil),
       Method("setLeaving", SetLeaving), Method("setEndsWithAgent", SetEndsWithAgent), Method("run", Run), Method("frame", OnFrame), Method("link", OnLink),
       Method("pause", OnPause), Method("datagram", OnDatagram), Method("advance", Advance),
       Method("takeFrames", TakeFrames), Method("takeEvents", TakeEvents), Method("tells", Tells), Method("stateOf", StateOf),
       Method("status", Status)});
}

}  // namespace penstock
