#include "keeps_source.h"

namespace penstock::engine {

namespace {

bool IsPod(const Service& service, const Address& client) {
  const size_t whole = service.pods_bits / 8;
  if (memcmp(service.pods.bytes, client.bytes, whole) != 0) return false;
  const int rest = service.pods_bits % 8;
  if (rest == 0) return true;
  const uint8_t mask = static_cast<uint8_t>(0xff << (8 - rest));
  return ((service.pods.bytes[whole] ^ client.bytes[whole]) & mask) == 0;
}

}  // namespace

bool KeepsSource(const Service& service, KeyKind kind, Side side, const Address& client) {
  if (!service.transparent) return false;
  const bool range_known = service.pods_bits != kNoRange;
  // Whoever is no pod may be anywhere, and so may the answers.
  if (service.careful && !range_known && kind == KeyKind::kInternal) return false;
  if (kind == KeyKind::kInternal) return !service.all_masqueraded && (!range_known || IsPod(service, client));
  if (!service.external_local) return false;
  // From the inside: pods keep theirs, the node itself does not.
  return side == Side::kOutside || (range_known && IsPod(service, client));
}

}  // namespace penstock::engine
