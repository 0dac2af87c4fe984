#include "records.h"

#include "../napi_class.h"

namespace penstock::announce {

namespace {

// u8 command, u8 family (4, 6), u8 gives way to (Core::GiveWay), u8 probes, u32 interface, u32 milliseconds, 16 bytes address; numbers in
// network order.
constexpr size_t kOrder = 28;

uint32_t ReadU32(const uint8_t* data) {
  return uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3];
}

bool Get(napi_env env, napi_value object, const char* name, napi_value* value) {
  return napi_get_named_property(env, object, name, value) == napi_ok;
}

bool GetMac(napi_env env, napi_value value, Mac* mac) {
  uint8_t* data;
  size_t length;
  if (!GetBytes(env, value, "mac", &data, &length)) return false;
  if (length != mac->size()) {
    ThrowRangeError(env, "mac must have 6 bytes");
    return false;
  }
  std::copy(data, data + length, mac->begin());
  return true;
}

bool Length(napi_env env, napi_value array, const char* name, uint32_t* length) {
  if (napi_get_array_length(env, array, length) == napi_ok) return true;
  ThrowTypeError(env, std::string(name) + " must be an array");
  return false;
}

bool Set(napi_env env, napi_value object, const char* name, double number) { return SetNumber(env, object, name, number); }

bool Set(napi_env env, napi_value object, const char* name, const std::string& text) {
  napi_value value;
  return napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

bool Set(napi_env env, napi_value object, const char* name, const uint8_t* bytes, size_t length) {
  const napi_value array = BytesArray(env, bytes, length);
  return array != nullptr && napi_set_named_property(env, object, name, array) == napi_ok;
}

}  // namespace

bool ToIp(napi_env env, napi_value value, const char* name, Ip* ip) {
  uint8_t* data;
  size_t length;
  if (!GetBytes(env, value, name, &data, &length)) return false;
  if (length == 4 || length == 16) *ip = Ip::From(data, length == 16);
  else if (length != 0) {
    ThrowRangeError(env, std::string(name) + " must have 0, 4 or 16 bytes");
    return false;
  }
  return true;
}

bool ReadIp(napi_env env, napi_value object, const char* name, Ip* ip) {
  napi_value value;
  return Get(env, object, name, &value) && ToIp(env, value, name, ip);
}

bool ReadOrders(napi_env env, napi_value value, std::vector<Order>* orders) {
  uint8_t* data;
  size_t length;
  if (!GetBytes(env, value, "orders", &data, &length)) return false;
  if (length % kOrder != 0) {
    ThrowRangeError(env, "orders must be records of 28 bytes");
    return false;
  }
  for (size_t at = 0; at < length; at += kOrder) {
    const uint8_t* record = data + at;
    if (record[0] > static_cast<uint8_t>(Command::kAnnounce) || (record[1] != 4 && record[1] != 6) || record[2] > 2) {
      ThrowRangeError(env, "orders: there is no such command, family or way");
      return false;
    }
    const Time milliseconds = ReadU32(record + 8);
    orders->push_back({static_cast<Command>(record[0]), static_cast<int>(ReadU32(record + 4)),
                       Ip::From(record + 12, record[1] == 6), {static_cast<Core::GiveWay>(record[2]), record[3], milliseconds}, milliseconds});
  }
  return true;
}

bool ReadInterfaces(napi_env env, napi_value value, std::vector<Interface>* interfaces) {
  uint32_t count;
  if (!Length(env, value, "interfaces", &count)) return false;
  for (uint32_t i = 0; i < count; i++) {
    napi_value item, field;
    Interface each;
    int64_t index, up;
    if (napi_get_element(env, value, i, &item) != napi_ok || !Get(env, item, "index", &field) ||
        !GetInteger(env, field, "index", 1, INT32_MAX, &index) || !ReadIp(env, item, "linkLocal", &each.link_local) ||
        !Get(env, item, "mac", &field) || !GetMac(env, field, &each.mac) || !Get(env, item, "up", &field) ||
        !GetInteger(env, field, "up", 0, 1, &up)) {
      return false;
    }
    each.index = static_cast<int>(index);
    each.up = up != 0;
    interfaces->push_back(each);
  }
  return true;
}

bool ReadPeers(napi_env env, napi_value value, std::vector<PeerWish>* peers) {
  uint32_t count;
  if (!Length(env, value, "peers", &count)) return false;
  for (uint32_t i = 0; i < count; i++) {
    napi_value item, field, mac;
    PeerWish peer;
    uint32_t macs;
    if (napi_get_element(env, value, i, &item) != napi_ok || !Get(env, item, "name", &field) ||
        !GetString(env, field, "name", &peer.name) || !ReadIp(env, item, "address", &peer.address) ||
        !Get(env, item, "macs", &field) || !Length(env, field, "macs", &macs)) {
      return false;
    }
    for (uint32_t j = 0; j < macs; j++) {
      Mac bytes;
      if (napi_get_element(env, field, j, &mac) != napi_ok || !GetMac(env, mac, &bytes)) return false;
      peer.macs.push_back(bytes);
    }
    peers->push_back(std::move(peer));
  }
  return true;
}

napi_value EventsArray(napi_env env, const std::vector<Event>& events) {
  napi_value array;
  if (napi_create_array_with_length(env, events.size(), &array) != napi_ok) return nullptr;
  for (size_t i = 0; i < events.size(); i++) {
    const Event& event = events[i];
    napi_value object;
    if (napi_create_object(env, &object) != napi_ok || !Set(env, object, "kind", static_cast<double>(event.kind)) ||
        !Set(env, object, "interface", event.interface) ||
        !Set(env, object, "address", event.address.bytes.data(), event.interface == 0 ? 0 : event.address.size()) ||
        !Set(env, object, "peer", event.peer) || !Set(env, object, "mac", event.mac.data(), event.mac.size()) ||
        !Set(env, object, "value", static_cast<double>(event.value)) ||
        napi_set_element(env, array, static_cast<uint32_t>(i), object) != napi_ok) {
      return nullptr;
    }
  }
  return array;
}

napi_value StatusObject(napi_env env, const ResponderStatus& status) {
  const Counters& counters = status.counters;
  napi_value object, peers;
  if (napi_create_object(env, &object) != napi_ok || napi_create_array(env, &peers) != napi_ok) return nullptr;
  const std::pair<const char*, double> numbers[] = {
      {"owned", static_cast<double>(status.owned)},
      {"arpRequests", static_cast<double>(counters.requests[0])},
      {"ndpRequests", static_cast<double>(counters.requests[1])},
      {"arpReplies", static_cast<double>(counters.answers[0])},
      {"ndpReplies", static_cast<double>(counters.answers[1])},
      {"announcements", static_cast<double>(counters.announcements)},
      {"probes", static_cast<double>(counters.probes)},
      {"conflicts", static_cast<double>(counters.conflicts)},
      {"yields", static_cast<double>(counters.yields)},
      {"sendErrors", static_cast<double>(status.send_errors)},
      {"deaf", status.deaf ? 1.0 : 0.0},
  };
  for (const auto& [name, number] : numbers)
    if (!Set(env, object, name, number)) return nullptr;
  uint32_t i = 0;
  for (const PeerStatus& peer : status.peers) {
    napi_value each;
    const auto heard = status.heard_of.find(peer.name);
    std::vector<uint8_t> macs;
    for (const Mac& mac : peer.macs) macs.insert(macs.end(), mac.begin(), mac.end());
    if (napi_create_object(env, &each) != napi_ok || !Set(env, each, "name", peer.name) ||
        !Set(env, each, "macs", macs.data(), macs.size()) ||
        !Set(env, each, "state", static_cast<double>(peer.state)) ||
        !Set(env, each, "silentForMs", static_cast<double>(peer.silent_for)) ||
        !Set(env, each, "heardOurs", peer.heard_ours) || !Set(env, each, "endsWithAgent", static_cast<uint32_t>(peer.ends_with_agent)) ||
        !Set(env, each, "weHeard", heard == status.heard_of.end() ? 0 : heard->second) ||
        napi_set_element(env, peers, i++, each) != napi_ok) {
      return nullptr;
    }
  }
  return napi_set_named_property(env, object, "peers", peers) == napi_ok ? object : nullptr;
}

}  // namespace penstock::announce
