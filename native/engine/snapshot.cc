#include "snapshot.h"

#include "cells.h"
#include "decode.h"

namespace penstock::engine {

namespace {

// Records of an update.
constexpr uint8_t kSet = 1;
constexpr uint8_t kRemove = 2;

Address PortOnly(const Address& address) {
  Address out;
  out.family = address.family;
  out.port = address.port;
  return out;
}

}  // namespace

const Snapshot::Entry* Snapshot::Lookup(uint8_t protocol, const Address& address, bool node_port) const {
  if (table_.empty()) return nullptr;
  const size_t mask = table_.size() - 1;
  for (size_t i = (HashOf(address) ^ protocol) & mask;; i = (i + 1) & mask) {
    const Entry& entry = table_[i];
    if (entry.service == 0) return nullptr;
    if (entry.protocol == protocol && (entry.kind == KeyKind::kNodePort) == node_port && entry.address == address)
      return &entry;
  }
}

Snapshot::Found Snapshot::Find(uint8_t protocol, const Address& destination) const {
  const Entry* entry = Lookup(protocol, destination, false);
  if (entry == nullptr) entry = Lookup(protocol, PortOnly(destination), true);
  if (entry == nullptr) return {};
  return {&services_[entry->service - 1], entry->kind};
}

bool Snapshot::IsService(uint8_t protocol, const Endpoint& endpoint) const {
  const Found found = Find(protocol, endpoint.address);
  return found.service != nullptr && (found.kind == KeyKind::kNodePort) == endpoint.on_host;
}

const ServicePointer* Snapshot::ByCell(uint32_t cell) const {
  return cell < services_.size() && services_[cell] ? &services_[cell] : nullptr;
}

void Snapshot::Insert(uint8_t protocol, const Key& key, uint32_t service) {
  const size_t mask = table_.size() - 1;
  const bool node_port = key.kind == KeyKind::kNodePort;
  for (size_t i = (HashOf(key.address) ^ protocol) & mask;; i = (i + 1) & mask) {
    Entry& entry = table_[i];
    if (entry.service == 0) {
      entry = {key.address, protocol, key.kind, service + 1};
      return;
    }
    // The first wins, as in the kernel's sets.
    if (entry.protocol == protocol && (entry.kind == KeyKind::kNodePort) == node_port && entry.address == key.address)
      return;
  }
}

void Snapshot::Rebuild() {
  size_t keys = 0;
  for (const ServicePointer& service : services_)
    if (service) keys += service->keys.size();
  size_t size = 16;
  while (size < keys * 2) size *= 2;
  table_.assign(size, {});
  for (uint32_t i = 0; i < services_.size(); i++) {
    if (!services_[i]) continue;
    for (const Key& key : services_[i]->keys) Insert(services_[i]->protocol, key, i);
  }
}

std::shared_ptr<const Snapshot> Snapshot::Apply(const Snapshot& before, const uint8_t* data, size_t length,
                                                std::string* error) {
  auto next = std::make_shared<Snapshot>(before);
  Reader reader(data, length);
  bool keys_differ = false;
  while (!reader.at_end()) {
    const uint8_t record = reader.U8();
    const uint32_t cell = reader.U32();
    if (!reader.ok() || cell >= Cells::kCount || (record != kSet && record != kRemove)) {
      *error = "an update with an unknown record";
      return nullptr;
    }
    if (cell >= next->services_.size()) next->services_.resize(cell + 1);
    ServicePointer& place = next->services_[cell];
    if (record == kRemove) {
      keys_differ = true;
      place.reset();
      continue;
    }
    auto service = std::make_shared<Service>();
    service->cell = cell;
    if (!DecodeService(reader, service.get())) {
      *error = "an update with a malformed service port";
      return nullptr;
    }
    keys_differ = keys_differ || !place || place->protocol != service->protocol ||
                  place->keys.size() != service->keys.size();
    for (size_t i = 0; !keys_differ && i < service->keys.size(); i++) {
      const Key& old = place->keys[i];
      keys_differ = old.kind != service->keys[i].kind || !(old.address == service->keys[i].address);
    }
    place = std::move(service);
  }
  if (keys_differ) next->Rebuild();
  return next;
}

}  // namespace penstock::engine
