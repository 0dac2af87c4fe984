#include "decode.h"

#include <algorithm>

#include "cells.h"
#include "prepare.h"

namespace penstock::engine {

namespace {

constexpr size_t kMaxAttempts = 16;

bool DecodeAddress(Reader& reader, uint8_t family, Address* address) {
  address->family = family;
  reader.Bytes(address->bytes, 16);
  address->port = reader.U16();
  return reader.ok();
}

bool DecodeList(Reader& reader, uint8_t family, EndpointList* list) {
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); i++) {
    Endpoint endpoint;
    DecodeAddress(reader, family, &endpoint.address);
    endpoint.cell = reader.U32();
    endpoint.weight = reader.U16();
    const uint8_t flags = reader.U8();
    endpoint.local = (flags & 1) != 0;
    endpoint.on_host = (flags & 2) != 0;
    if (endpoint.cell >= Cells::kCount) return false;
    list->endpoints.push_back(endpoint);
  }
  return reader.ok();
}

uint32_t CountDifferent(const std::vector<EndpointList>& lists) {
  std::vector<uint32_t> cells;
  for (const EndpointList& list : lists)
    for (const Endpoint& endpoint : list.endpoints) cells.push_back(endpoint.cell);
  std::sort(cells.begin(), cells.end());
  return static_cast<uint32_t>(std::unique(cells.begin(), cells.end()) - cells.begin());
}

}  // namespace

bool DecodeService(Reader& reader, Service* service) {
  service->tenant = reader.U32();
  service->protocol = reader.U8();
  service->family = reader.U8() == 4 ? AF_INET : AF_INET6;
  const uint8_t algorithm = reader.U8();
  const uint32_t most_entries = reader.U32();
  const uint8_t proxy_protocol = reader.U8();
  if (algorithm > static_cast<uint8_t>(Algorithm::kMaglev) || proxy_protocol > 2) return false;
  service->algorithm = static_cast<Algorithm>(algorithm);
  service->proxy_protocol = static_cast<ProxyProtocol>(proxy_protocol);
  const uint8_t flags = reader.U8();
  service->transparent = (flags & 1) != 0;
  service->external_local = (flags & 2) != 0;
  service->all_masqueraded = (flags & 4) != 0;
  service->careful = (flags & 8) != 0;
  service->pods_bits = reader.U8();
  service->pods.family = service->family;
  reader.Bytes(service->pods.bytes, sizeof service->pods.bytes);
  service->affinity_ms = reader.U32();
  service->idle_ms = reader.U32();
  service->lifetime_ms = reader.U32();
  const uint8_t attempts = reader.U8();
  if (attempts == 0 || attempts > kMaxAttempts) return false;
  for (uint8_t i = 0; i < attempts; i++) service->attempts_ms.push_back(reader.U32());
  const uint16_t keys = reader.U16();
  for (uint16_t i = 0; i < keys && reader.ok(); i++) {
    const uint8_t kind = reader.U8();
    if (kind > static_cast<uint8_t>(KeyKind::kNodePort)) return false;
    Key key{static_cast<KeyKind>(kind), {}};
    DecodeAddress(reader, service->family, &key.address);
    service->keys.push_back(key);
  }
  const uint8_t lists = reader.U8();
  if (lists == 0) return false;
  service->lists.resize(lists);
  for (EndpointList& list : service->lists) {
    if (!DecodeList(reader, service->family, &list)) return false;
    Prepare(service->algorithm, most_entries, &list);
  }
  service->internal_list = reader.U8();
  service->outside_list = reader.U8();
  service->inside_list = reader.U8();
  service->wait_ms = reader.U32();
  service->endpoint_count = CountDifferent(service->lists);
  return reader.ok() && service->internal_list < lists && service->outside_list < lists &&
         service->inside_list < lists;
}

}  // namespace penstock::engine
