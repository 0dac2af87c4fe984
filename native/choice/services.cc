#include "services.h"

#include <utility>

#include "../service/cells.h"
#include "../service/decode.h"
#include "../service/prepare.h"

namespace penstock::choice {

namespace {

using engine::Reader;

constexpr uint8_t kSet = 1;
constexpr uint8_t kRemove = 2;
constexpr uint32_t kNoLimit = UINT32_MAX;

Place ReadPlace(Reader& reader, uint8_t family, uint8_t protocol) {
  Place place;
  place.protocol = protocol;
  place.address.family = family;
  reader.Bytes(place.address.bytes, sizeof place.address.bytes);
  place.address.port = reader.U16();
  return place;
}

bool ReadList(Reader& reader, uint8_t family, uint8_t protocol, engine::Algorithm algorithm, List* list) {
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); i++) {
    engine::Endpoint endpoint{};
    endpoint.address = ReadPlace(reader, family, protocol).address;
    endpoint.cell = reader.U32();
    endpoint.weight = reader.U16();
    list->numbers.push_back(reader.U16());
    if (endpoint.cell >= engine::Cells::kCount) return false;
    list->endpoints.endpoints.push_back(endpoint);
  }
  if (!reader.ok()) return false;
  engine::Prepare(algorithm, kNoLimit, &list->endpoints);
  return true;
}

bool ReadService(Reader& reader, Service* service) {
  const uint8_t protocol = service->protocol = reader.U8();
  const uint8_t family = reader.U8() == 4 ? AF_INET : AF_INET6;
  service->algorithm = static_cast<engine::Algorithm>(reader.U8());
  if (service->algorithm != engine::Algorithm::kLeastConnections && service->algorithm != engine::Algorithm::kPowerOfTwo)
    return false;
  service->lists.resize(reader.U8());
  for (List& list : service->lists)
    if (!ReadList(reader, family, protocol, service->algorithm, &list)) return false;
  const uint16_t keys = reader.U16();
  for (uint16_t i = 0; i < keys && reader.ok(); i++) {
    const bool is_node_port = reader.U8() != 0;
    const uint8_t list = reader.U8();
    Key key{ReadPlace(reader, family, protocol), list};
    if (is_node_port) memset(key.place.address.bytes, 0, sizeof key.place.address.bytes);
    if (list >= service->lists.size()) return false;
    service->keys.push_back(key);
  }
  return reader.ok();
}

}  // namespace

bool Services::Update(const uint8_t* records, size_t length) {
  Reader reader(records, length);
  while (!reader.at_end()) {
    const uint8_t what = reader.U8();
    const uint32_t cell = reader.U32();
    if (!reader.ok() || cell >= engine::Cells::kCount) return false;
    if (what == kRemove) {
      Remove(cell);
      continue;
    }
    auto service = std::make_unique<Service>();
    service->cell = cell;
    if (what != kSet || !ReadService(reader, service.get())) return false;
    Remove(cell);
    Add(std::move(service));
  }
  return true;
}

void Services::Add(std::unique_ptr<Service> service) {
  for (const Key& key : service->keys) keys_[key.place] = {service.get(), &service->lists[key.list]};
  for (const List& list : service->lists) {
    for (const engine::Endpoint& endpoint : list.endpoints.endpoints) {
      Owner& owner = endpoints_[{endpoint.address, service->protocol}];
      owner.cell = endpoint.cell;
      owner.users++;
    }
  }
  services_[service->cell] = std::move(service);
}

void Services::Remove(uint32_t cell) {
  const auto found = services_.find(cell);
  if (found == services_.end()) return;
  const Service* service = found->second.get();
  for (const Key& key : service->keys) {
    const auto known = keys_.find(key.place);
    // Another service port may have taken the address over before.
    if (known != keys_.end() && known->second.service == service) keys_.erase(known);
  }
  for (const List& list : service->lists) {
    for (const engine::Endpoint& endpoint : list.endpoints.endpoints) {
      const auto owner = endpoints_.find({endpoint.address, service->protocol});
      if (owner == endpoints_.end() || --owner->second.users > 0) continue;
      dropped_.emplace_back(owner->first, owner->second.cell);
      endpoints_.erase(owner);
    }
  }
  services_.erase(found);
}

const Found* Services::Find(const Place& vip) const {
  const auto found = keys_.find(vip);
  if (found != keys_.end()) return &found->second;
  Place node_port = vip;
  memset(node_port.address.bytes, 0, sizeof node_port.address.bytes);
  const auto known = keys_.find(node_port);
  return known == keys_.end() ? nullptr : &known->second;
}

bool Services::CellOf(const Place& endpoint, uint32_t* cell) const {
  const auto found = endpoints_.find(endpoint);
  if (found == endpoints_.end()) return false;
  *cell = found->second.cell;
  return true;
}

}  // namespace penstock::choice
