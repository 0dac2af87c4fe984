#include "snapshot.h"

#include <atomic>
#include <cstring>
#include <random>

#include "../../service/cells.h"
#include "../../service/decode.h"

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

bool HaveSameKeys(const Service& one, const Service& other) {
  if (one.protocol != other.protocol || one.keys.size() != other.keys.size()) return false;
  for (size_t i = 0; i < one.keys.size(); i++)
    if (one.keys[i].kind != other.keys[i].kind || !(one.keys[i].address == other.keys[i].address)) return false;
  return true;
}

// The last steps of MurmurHash3: every bit of the result depends on every bit of the number.
uint64_t Mix(uint64_t number) {
  number ^= number >> 33;
  number *= 0xff51afd7ed558ccdULL;
  number ^= number >> 33;
  number *= 0xc4ceb9fe1a85ec53ULL;
  return number ^ number >> 33;
}

}  // namespace

uint64_t Snapshot::KeyOf(uint8_t protocol, const Address& address, bool node_port) {
  // Addresses and ports are chosen by whoever writes Services: without a secret they could be made to collide.
  static const uint64_t secret = uint64_t{std::random_device()()} << 32 | std::random_device()();
  uint64_t high, low;
  memcpy(&high, address.bytes, 8);
  memcpy(&low, address.bytes + 8, 8);
  const uint64_t rest = uint64_t{address.port} << 32 | uint64_t{address.family} << 16 | uint64_t{protocol} << 8 |
                        uint64_t{node_port};
  return Mix(Mix(Mix(secret ^ high) ^ low) ^ rest);
}

const Snapshot::Claim* Snapshot::Lookup(uint8_t protocol, const Address& address, bool node_port) const {
  const ClaimPointer* first = claims_.Find(KeyOf(protocol, address, node_port));
  for (const Claim* claim = first == nullptr ? nullptr : first->get(); claim != nullptr; claim = claim->next.get()) {
    if (claim->protocol == protocol && (claim->kind == KeyKind::kNodePort) == node_port && claim->address == address)
      return claim;
  }
  return nullptr;
}

Snapshot::Found Snapshot::Find(uint8_t protocol, const Address& destination) const {
  const Claim* claim = Lookup(protocol, destination, false);
  if (claim == nullptr) claim = Lookup(protocol, PortOnly(destination), true);
  if (claim == nullptr) return {};
  return {services_.Find(claim->cell), claim->kind};
}

bool Snapshot::IsService(uint8_t protocol, const Endpoint& endpoint) const {
  const Found found = Find(protocol, endpoint.address);
  return found.service != nullptr && (found.kind == KeyKind::kNodePort) == endpoint.on_host;
}

const ServicePointer* Snapshot::ByCell(uint32_t cell) const { return services_.Find(cell); }

// Of two that claim the same, the one with the lower cell wins, and of one service port its first key: so the answer does
// not depend on the order of updates.
Snapshot::ClaimPointer Snapshot::With(ClaimPointer chain, const Claim& claim) {
  if (chain != nullptr && chain->cell <= claim.cell) {
    Claim first = *chain;
    first.next = With(first.next, claim);
    return std::make_shared<const Claim>(std::move(first));
  }
  Claim first = claim;
  first.next = std::move(chain);
  return std::make_shared<const Claim>(std::move(first));
}

Snapshot::ClaimPointer Snapshot::Without(const ClaimPointer& chain, uint32_t cell) {
  if (chain == nullptr) return nullptr;
  if (chain->cell == cell) return Without(chain->next, cell);
  Claim first = *chain;
  first.next = Without(chain->next, cell);
  return std::make_shared<const Claim>(std::move(first));
}

void Snapshot::AddKeys(Editor editor, const Service& service) {
  for (const Key& key : service.keys) {
    const uint64_t hash = KeyOf(service.protocol, key.address, key.kind == KeyKind::kNodePort);
    const ClaimPointer* chain = claims_.Find(hash);
    claims_.Set(editor, hash,
                With(chain == nullptr ? nullptr : *chain,
                     {key.address, service.protocol, key.kind, service.cell, nullptr}));
  }
}

void Snapshot::RemoveKeys(Editor editor, const Service& service) {
  for (const Key& key : service.keys) {
    const uint64_t hash = KeyOf(service.protocol, key.address, key.kind == KeyKind::kNodePort);
    const ClaimPointer* chain = claims_.Find(hash);
    if (chain == nullptr) continue;  // a key that it has twice
    ClaimPointer rest = Without(*chain, service.cell);
    if (rest == nullptr) claims_.Remove(editor, hash);
    else claims_.Set(editor, hash, std::move(rest));
  }
}

std::shared_ptr<const Snapshot> Snapshot::Apply(const Snapshot& before, const uint8_t* data, size_t length,
                                                std::string* error) {
  static std::atomic<Editor> last_editor{0};
  const Editor editor = ++last_editor;
  auto next = std::make_shared<Snapshot>(before);
  Reader reader(data, length);
  while (!reader.at_end()) {
    const uint8_t record = reader.U8();
    const uint32_t cell = reader.U32();
    if (!reader.ok() || cell >= Cells::kCount || (record != kSet && record != kRemove)) {
      *error = "an update with an unknown record";
      return nullptr;
    }
    const ServicePointer* place = next->services_.Find(cell);
    const ServicePointer old = place == nullptr ? nullptr : *place;
    if (record == kRemove) {
      if (old == nullptr) continue;
      next->RemoveKeys(editor, *old);
      next->services_.Remove(editor, cell);
      continue;
    }
    auto service = std::make_shared<Service>();
    service->cell = cell;
    if (!DecodeService(reader, service.get())) {
      *error = "an update with a malformed service port";
      return nullptr;
    }
    if (old == nullptr || !HaveSameKeys(*old, *service)) {
      if (old != nullptr) next->RemoveKeys(editor, *old);
      next->AddKeys(editor, *service);
    }
    next->services_.Set(editor, cell, std::move(service));
  }
  return next;
}

}  // namespace penstock::engine
