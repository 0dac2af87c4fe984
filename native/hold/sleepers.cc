#include "sleepers.h"

#include <utility>

#include "../service/decode.h"

namespace penstock::hold {

namespace {

using engine::Reader;

constexpr uint8_t kSet = 1;
constexpr uint8_t kRemove = 2;
constexpr uint8_t kNodePort = 1;
constexpr uint8_t kRestricted = 2;

bool IsWithin(const uint8_t* address, const Range& range) {
  const size_t whole = range.bits / 8;
  if (memcmp(address, range.bytes, whole) != 0) return false;
  const int rest = range.bits % 8;
  return rest == 0 || (address[whole] ^ range.bytes[whole]) >> (8 - rest) == 0;
}

bool ReadSleeper(Reader& reader, Sleeper* sleeper) {
  sleeper->protocol = reader.U8();
  const uint8_t family = reader.U8() == 4 ? AF_INET : AF_INET6;
  const uint8_t most_bits = family == AF_INET ? 32 : 128;
  sleeper->timeout = reader.U32();
  const uint16_t ranges = reader.U16();
  for (uint16_t i = 0; i < ranges && reader.ok(); i++) {
    Range range;
    reader.Bytes(range.bytes, sizeof range.bytes);
    range.bits = reader.U8();
    if (range.bits > most_bits) return false;
    sleeper->ranges.push_back(range);
  }
  const uint16_t keys = reader.U16();
  for (uint16_t i = 0; i < keys && reader.ok(); i++) {
    const uint8_t kind = reader.U8();
    Key key{};
    key.is_restricted = kind == kRestricted;
    key.place.protocol = sleeper->protocol;
    key.place.address.family = family;
    reader.Bytes(key.place.address.bytes, sizeof key.place.address.bytes);
    key.place.address.port = reader.U16();
    if (kind == kNodePort) memset(key.place.address.bytes, 0, sizeof key.place.address.bytes);
    sleeper->keys.push_back(key);
  }
  return reader.ok();
}

}  // namespace

Sleepers::Read Sleepers::ReadRecord(const uint8_t** at, const uint8_t* end, Record* record) {
  if (*at == end) return Read::kEnd;
  Reader reader(*at, static_cast<size_t>(end - *at));
  const uint8_t what = reader.U8();
  record->woken.id = reader.U32();
  if (what == kRemove) {
    record->woken.endpoints = reader.U32();
  } else {
    record->sleeper = std::make_unique<Sleeper>();
    record->sleeper->id = record->woken.id;
    if (what != kSet || !ReadSleeper(reader, record->sleeper.get())) return Read::kBad;
  }
  if (!reader.ok()) return Read::kBad;
  *at = reader.at();
  return what == kRemove ? Read::kRemove : Read::kSet;
}

Sleeper* Sleepers::ById(uint32_t id) const {
  const auto found = sleepers_.find(id);
  return found == sleepers_.end() ? nullptr : found->second.get();
}

void Sleepers::Set(std::unique_ptr<Sleeper> sleeper) {
  Sleeper* known = ById(sleeper->id);
  if (known == nullptr) {
    known = sleeper.get();
    sleepers_[known->id] = std::move(sleeper);
  } else {
    // What waits goes on waiting.
    RemoveKeys(*known);
    known->timeout = sleeper->timeout;
    known->ranges = std::move(sleeper->ranges);
    known->keys = std::move(sleeper->keys);
    // Whoever changed something may have helped.
    if (known->phase == Phase::kRefusing) known->phase = Phase::kAsleep;
  }
  for (const Key& key : known->keys) keys_[key.place] = {known, key.is_restricted};
}

void Sleepers::RemoveKeys(const Sleeper& sleeper) {
  for (const Key& key : sleeper.keys) {
    const auto found = keys_.find(key.place);
    // Another service port may have taken the address over before.
    if (found != keys_.end() && found->second.sleeper == &sleeper) keys_.erase(found);
  }
}

void Sleepers::Remove(uint32_t id) {
  const Sleeper* sleeper = ById(id);
  if (sleeper == nullptr) return;
  RemoveKeys(*sleeper);
  sleepers_.erase(id);
}

Sleeper* Sleepers::Find(const Flow& flow) const {
  Place place{flow.destination, flow.protocol};
  auto found = keys_.find(place);
  if (found == keys_.end()) {
    memset(place.address.bytes, 0, sizeof place.address.bytes);
    found = keys_.find(place);
  }
  if (found == keys_.end()) return nullptr;
  Sleeper* sleeper = found->second.sleeper;
  if (!found->second.is_restricted) return sleeper;
  for (const Range& range : sleeper->ranges)
    if (IsWithin(flow.source.bytes, range)) return sleeper;
  return nullptr;
}

}  // namespace penstock::hold
