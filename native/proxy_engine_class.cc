// What JavaScript sees of the proxy engine: unpacks and checks the arguments of each method.
#include "proxy_engine_class.h"

#include <netinet/in.h>
#include <sys/resource.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/takeover.h"
#include "napi_class.h"

namespace penstock {

namespace {

using engine::Engine;
using engine::EngineOptions;

constexpr int64_t kMaxThreads = 256;
constexpr int64_t kMaxPort = 65535;
constexpr int64_t kMaxSamples = 1 << 20;
// Descriptors that the rest of the process needs.
constexpr int64_t kReserved = 256;
constexpr size_t kRangeBytes = 17;

struct Proxy {
  static constexpr napi_type_tag kTag = {0x2c9a1f0b6d5e4837, 0x94f7c3e1a86b0d52};
  static constexpr const char* kClass = "ProxyEngine";
  static constexpr const char* kSubsystem = "engine";

  // Also held by the ArrayBuffer of the cells, which may live longer.
  std::shared_ptr<Engine> engine;
  std::unique_ptr<engine::Takeover> predecessor;
  std::unique_ptr<engine::TakeoverServer> successor;
  std::atomic<bool> succeeded{false};
  bool inherited = false;

  bool IsOpen() const { return engine != nullptr; }
  void End() {
    successor.reset();
    predecessor.reset();
    if (engine) engine->Shutdown();
    engine.reset();
  }
};

using ProxyCall = Call<Proxy>;

int DescriptorLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int64_t soft = limit.rlim_cur > INT32_MAX ? INT32_MAX : static_cast<int64_t>(limit.rlim_cur);
  return static_cast<int>(std::max<int64_t>(soft - kReserved, 16));
}

napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value options_object, self;
  napi_get_cb_info(env, info, &count, &options_object, &self, nullptr);
  int64_t threads, ipv6, first, last, mark, untranslated;
  std::string takeover_from;
  napi_value name;
  if (!GetNumber(env, options_object, "threads", 0, kMaxThreads, &threads) ||
      !GetNumber(env, options_object, "ipv6", 0, 1, &ipv6) ||
      !GetNumber(env, options_object, "firstPort", 0, kMaxPort, &first) ||
      !GetNumber(env, options_object, "lastPort", 0, kMaxPort, &last) ||
      !GetNumber(env, options_object, "mark", 0, UINT32_MAX, &mark) ||
      !GetNumber(env, options_object, "untranslated", 0, 1, &untranslated) ||
      napi_get_named_property(env, options_object, "takeOverFrom", &name) != napi_ok ||
      !GetString(env, name, "takeOverFrom", &takeover_from)) {
    return nullptr;
  }
  if (threads == 0 || last < first) {
    ThrowRangeError(env, "threads must be at least 1, and lastPort at least firstPort");
    return nullptr;
  }
  auto proxy = std::make_unique<Proxy>();
  const auto open = [&] {
    std::vector<engine::ListeningSocket> sockets;
    if (!takeover_from.empty()) {
      proxy->predecessor = std::make_unique<engine::Takeover>(takeover_from);
      sockets = proxy->predecessor->TakeSockets();
      proxy->inherited = !sockets.empty();
    }
    EngineOptions options;
    options.threads = static_cast<size_t>(threads);
    options.ipv6 = ipv6 != 0;
    options.first_port = static_cast<uint16_t>(first);
    options.last_port = static_cast<uint16_t>(last);
    options.descriptor_limit = DescriptorLimit();
    options.mark = static_cast<uint32_t>(mark);
    options.untranslated = untranslated != 0;
    proxy->engine = std::make_shared<Engine>(options, std::move(sockets));
  };
  if (!Catch(env, "bind", open)) return nullptr;
  return Wrap(env, self, std::move(proxy));
}

napi_value CellMemory(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  if (call.state == nullptr) return nullptr;
  auto* keeper = new std::shared_ptr<Engine>(call.state->engine);
  const auto finalize = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Engine>*>(hint); };
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, call.state->engine->shared().cells.memory(), engine::Cells::kBytes,
                                       finalize, keeper, &buffer) != napi_ok) {
    delete keeper;
    ThrowTypeError(env, "this Node.js takes no external memory");
  }
  return buffer;
}

// port(protocol, family, side): protocol 6 or 17, family 4 or 6, side 0 (inside) or 1 (outside).
napi_value Port(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  int64_t protocol, family, side;
  napi_value result = nullptr;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "protocol", 0, 255, &protocol) &&
      GetInteger(env, call.arguments[1], "family", 4, 6, &family) &&
      GetInteger(env, call.arguments[2], "side", 0, 1, &side)) {
    const uint16_t port =
        call.state->engine->PortOf(static_cast<uint8_t>(protocol), family == 4 ? AF_INET : AF_INET6,
                                   side == 0 ? engine::Side::kInside : engine::Side::kOutside);
    napi_create_uint32(env, port, &result);
  }
  return result;
}

napi_value Update(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  uint8_t* data;
  size_t length;
  if (call.state == nullptr || !GetBytes(env, call.arguments[0], "update", &data, &length)) return nullptr;
  std::string error;
  bool good = true;
  if (Catch(env, "update", [&] { good = call.state->engine->Update(data, length, &error); }) && !good)
    ThrowSystemError(env, EINVAL, "update", error);
  return nullptr;
}

napi_value StartListening(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  if (call.state == nullptr) return nullptr;
  Catch(env, "listen", [&] {
    call.state->engine->StartListening();
    if (call.state->predecessor) call.state->predecessor->Confirm();
    call.state->predecessor.reset();
  });
  return nullptr;
}

napi_value StopListening(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  if (call.state == nullptr) return nullptr;
  call.state->successor.reset();
  call.state->engine->StopListening();
  return nullptr;
}

napi_value OfferTakeover(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  std::string name;
  if (call.state == nullptr || !GetString(env, call.arguments[0], "name", &name)) return nullptr;
  Proxy* const proxy = call.state;
  Catch(env, "bind", [&] {
    proxy->successor = std::make_unique<engine::TakeoverServer>(name, proxy->engine->sockets(),
                                                                [proxy] { proxy->succeeded = true; });
  });
  return nullptr;
}

// setUntranslatedRanges(ranges): 17 bytes each, the length of the prefix and the first address (lookup::Range).
napi_value SetUntranslatedRanges(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  uint8_t* bytes;
  size_t length;
  if (call.state == nullptr || !GetBytes(env, call.arguments[0], "ranges", &bytes, &length)) return nullptr;
  std::vector<lookup::Range> ranges(length / kRangeBytes);
  if (length % kRangeBytes != 0 || ranges.size() > lookup::SocketLookup::kMostRanges) {
    ThrowRangeError(env, "ranges must have 17 bytes each, and be 64 at most");
    return nullptr;
  }
  for (lookup::Range& range : ranges) {
    range.bits = bytes[0];
    std::copy(bytes + 1, bytes + kRangeBytes, range.first.begin());
    bytes += kRangeBytes;
  }
  Catch(env, "bpf", [&] { call.state->engine->SetUntranslatedRanges(ranges); });
  return nullptr;
}

napi_value ResetEndpoint(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  int64_t cell;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "cell", 0, engine::Cells::kCount - 1, &cell))
    call.state->engine->ResetEndpoint(static_cast<uint32_t>(cell));
  return nullptr;
}

napi_value Status(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  if (call.state == nullptr) return nullptr;
  engine::Shared& shared = call.state->engine->shared();
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok ||
      !SetNumber(env, result, "active", static_cast<double>(shared.active.load())) ||
      !SetNumber(env, result, "unknown", static_cast<double>(shared.unknown.load())) ||
      !SetNumber(env, result, "descriptors", shared.descriptors()) ||
      !SetNumber(env, result, "inherited", call.state->inherited ? 1 : 0) ||
      !SetNumber(env, result, "succeeded", call.state->succeeded ? 1 : 0)) {
    return nullptr;
  }
  return result;
}

napi_value Numbers(napi_env env, const std::vector<uint32_t>& numbers) {
  void* data = nullptr;
  napi_value buffer, array = nullptr;
  if (napi_create_arraybuffer(env, numbers.size() * sizeof(uint32_t), &data, &buffer) != napi_ok) return nullptr;
  std::copy(numbers.begin(), numbers.end(), static_cast<uint32_t*>(data));
  napi_create_typedarray(env, napi_uint32_array, numbers.size(), buffer, 0, &array);
  return array;
}

// Four numbers for each: kind, cell of the service port, cell of the endpoint, why.
napi_value TakeEvents(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  if (call.state == nullptr) return nullptr;
  std::vector<uint32_t> numbers;
  for (const engine::Event& event : call.state->engine->shared().TakeEvents()) {
    numbers.insert(numbers.end(), {static_cast<uint32_t>(event.kind), event.service_cell, event.endpoint_cell,
                                   static_cast<uint32_t>(event.why)});
  }
  return Numbers(env, numbers);
}

// picks(serviceCell, list, seed, clientAddress, eligible, count): what the algorithm answers, for tests against the
// reference. An empty `eligible`: all are.
napi_value Picks(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  int64_t cell, list, seed, count;
  uint8_t *client, *may;
  size_t client_length, may_length;
  if (call.state == nullptr || !GetInteger(env, call.arguments[0], "serviceCell", 0, engine::Cells::kCount - 1, &cell) ||
      !GetInteger(env, call.arguments[1], "list", 0, 255, &list) ||
      !GetInteger(env, call.arguments[2], "seed", 0, UINT32_MAX, &seed) ||
      !GetBytes(env, call.arguments[3], "clientAddress", &client, &client_length) ||
      !GetBytes(env, call.arguments[4], "eligible", &may, &may_length) ||
      !GetInteger(env, call.arguments[5], "count", 0, kMaxSamples, &count)) {
    return nullptr;
  }
  const auto picked = call.state->engine->Picks(
      static_cast<uint32_t>(cell), static_cast<size_t>(list), static_cast<uint32_t>(seed), {client, client + client_length},
      {may, may + may_length}, static_cast<size_t>(count));
  return Numbers(env, picked);
}

// find(protocol, family, address, port): the cell of the service port that is reached there, or -1. For tests.
napi_value FindService(napi_env env, napi_callback_info info) {
  const ProxyCall call(env, info);
  int64_t protocol, family, port;
  uint8_t* bytes;
  size_t length;
  if (call.state == nullptr || !GetInteger(env, call.arguments[0], "protocol", 0, 255, &protocol) ||
      !GetInteger(env, call.arguments[1], "family", 4, 6, &family) ||
      !GetBytes(env, call.arguments[2], "address", &bytes, &length) ||
      !GetInteger(env, call.arguments[3], "port", 0, kMaxPort, &port)) {
    return nullptr;
  }
  engine::Address address;
  address.family = family == 4 ? AF_INET : AF_INET6;
  address.port = static_cast<uint16_t>(port);
  if (length != address.size()) {
    ThrowRangeError(env, "address must have the bytes of its family");
    return nullptr;
  }
  std::copy(bytes, bytes + length, address.bytes);
  napi_value result = nullptr;
  napi_create_int64(env, call.state->engine->FindService(static_cast<uint8_t>(protocol), address), &result);
  return result;
}

// probeSocketLookup(): throws as in Node when this kernel has none for this process.
napi_value ProbeSocketLookup(napi_env env, napi_callback_info) {
  Catch(env, "bpf", [] { lookup::SocketLookup::Probe(); });
  return nullptr;
}

}  // namespace

bool DefineProxyEngine(napi_env env, napi_value exports) {
  return DefineFunction(env, exports, "probeSocketLookup", ProbeSocketLookup) &&
         DefineClass(env, exports, Proxy::kClass, New,
                     {Getter("cells", CellMemory), Getter("status", Status), Method("port", Port),
                      Method("update", Update), Method("startListening", StartListening),
                      Method("stopListening", StopListening), Method("offerTakeover", OfferTakeover),
                      Method("setUntranslatedRanges", SetUntranslatedRanges), Method("resetEndpoint", ResetEndpoint), Method("takeEvents", TakeEvents), Method("picks", Picks),
                      Method("find", FindService), Method("close", CloseMethod<Proxy>)});
}

}  // namespace penstock
