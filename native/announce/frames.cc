#include "frames.h"

#include <algorithm>

namespace penstock::announce {

namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kArp = 28;
constexpr size_t kIpv6 = 40;
// Neighbour solicitation and advertisement without options: 24 bytes.
constexpr size_t kNeighbour = 24;
constexpr uint16_t kTypeArp = 0x0806;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint8_t kIcmpv6 = 58;
constexpr uint8_t kSolicitation = 135;
constexpr uint8_t kAdvertisement = 136;
constexpr uint8_t kSourceOption = 1;
constexpr uint8_t kTargetOption = 2;
constexpr uint8_t kSolicited = 0x40;
constexpr uint8_t kOverride = 0x20;
// Shorter frames are padded; some drivers do not.
constexpr size_t kShortest = 60;

constexpr std::array<uint8_t, 16> kAllNodes = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

uint16_t ReadU16(const uint8_t* data) { return static_cast<uint16_t>(data[0] << 8 | data[1]); }

Mac ReadMac(const uint8_t* data) {
  Mac mac;
  std::copy(data, data + mac.size(), mac.begin());
  return mac;
}

// What no station has for itself: nobody, or a group.
bool IsStation(const Mac& mac) { return mac != kNoMac && (mac[0] & 1) == 0; }

Parsed ParseArp(const uint8_t* frame, size_t length) {
  if (length < kEthernet + kArp) return {};
  const uint8_t* arp = frame + kEthernet;
  const uint8_t expected[] = {0, 1, 8, 0, 6, 4, 0};
  if (!std::equal(std::begin(expected), std::end(expected), arp) || (arp[7] != 1 && arp[7] != 2)) return {};
  const Mac sender = ReadMac(arp + 8);
  if (!IsStation(sender)) return {};
  const Ip source = Ip::From(arp + 14, false);
  const Ip target = Ip::From(arp + 24, false);
  Parsed parsed;
  if (!source.IsUnspecified()) parsed.first = Heard{Heard::Kind::kHave, source, sender, source};
  // An announcement asks for what it tells; nobody needs an answer to it.
  if (arp[7] == 1 && !(source == target) && !target.IsUnspecified()) {
    const auto kind = source.IsUnspecified() ? Heard::Kind::kProbe : Heard::Kind::kAsk;
    parsed.second = Heard{kind, target, sender, source};
  }
  return parsed;
}

uint32_t Sum(const uint8_t* data, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += ReadU16(data + i);
  if (length % 2 == 1) sum += static_cast<uint32_t>(data[length - 1]) << 8;
  return sum;
}

// RFC 4443, 2.3: over the addresses, length, next header and message; 0 when a received one is right.
uint16_t Checksum(const uint8_t* ipv6, const uint8_t* message, size_t length) {
  uint32_t sum = Sum(ipv6 + 8, 32, static_cast<uint32_t>(length) + kIcmpv6);
  sum = Sum(message, length, sum);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// Of the options of a neighbour message; false when they are not well-formed.
bool FindOption(const uint8_t* options, size_t length, uint8_t wanted, std::optional<Mac>* mac) {
  while (length > 0) {
    if (length < 8 || options[1] == 0 || size_t{options[1]} * 8 > length) return false;
    if (options[0] == wanted && !mac->has_value()) *mac = ReadMac(options + 2);
    const size_t size = size_t{options[1]} * 8;
    options += size;
    length -= size;
  }
  return true;
}

Parsed ParseNeighbour(const uint8_t* frame, size_t length) {
  if (length < kEthernet + kIpv6 + kNeighbour) return {};
  const uint8_t* ipv6 = frame + kEthernet;
  const size_t payload = ReadU16(ipv6 + 4);
  // Hop limit 255: it comes from this LAN.
  if (ipv6[0] >> 4 != 6 || ipv6[6] != kIcmpv6 || ipv6[7] != 255) return {};
  if (payload < kNeighbour || payload > length - kEthernet - kIpv6) return {};
  const uint8_t* message = ipv6 + kIpv6;
  if ((message[0] != kSolicitation && message[0] != kAdvertisement) || message[1] != 0) return {};
  if (Checksum(ipv6, message, payload) != 0) return {};
  const Ip source = Ip::From(ipv6 + 8, true);
  const Ip target = Ip::From(message + 8, true);
  if (target.bytes[0] == 0xff) return {};
  std::optional<Mac> mac;
  const bool asks = message[0] == kSolicitation;
  if (!FindOption(message + kNeighbour, payload - kNeighbour, asks ? kSourceOption : kTargetOption, &mac)) return {};
  const Mac sender = mac.value_or(ReadMac(frame + 6));
  if (!IsStation(sender)) return {};
  Parsed parsed;
  if (!asks) {
    parsed.first = Heard{Heard::Kind::kHave, target, sender, source};
    return parsed;
  }
  if (source.IsUnspecified()) {
    // RFC 4861, 7.1.1: such a solicitation has no source option.
    if (mac.has_value()) return {};
    parsed.second = Heard{Heard::Kind::kProbe, target, ReadMac(frame + 6), source};
  } else {
    parsed.second = Heard{Heard::Kind::kAsk, target, sender, source};
  }
  return parsed;
}

void Put(Frame* frame, const uint8_t* data, size_t length) { frame->insert(frame->end(), data, data + length); }

template <size_t N>
void Put(Frame* frame, const std::array<uint8_t, N>& bytes) {
  Put(frame, bytes.data(), N);
}

void PutU16(Frame* frame, uint16_t value) {
  frame->push_back(static_cast<uint8_t>(value >> 8));
  frame->push_back(static_cast<uint8_t>(value));
}

Frame Begin(const Mac& to, const Mac& from, uint16_t type) {
  Frame frame;
  frame.reserve(kEthernet + kIpv6 + kNeighbour + 8);
  Put(&frame, to);
  Put(&frame, from);
  PutU16(&frame, type);
  return frame;
}

Frame Arp(const Mac& to, const Mac& from, uint8_t operation, const Ip& sender, const Mac& target_mac, const Ip& target) {
  Frame frame = Begin(to, from, kTypeArp);
  const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, operation};
  Put(&frame, head, sizeof head);
  Put(&frame, from);
  Put(&frame, sender.bytes.data(), 4);
  Put(&frame, target_mac);
  Put(&frame, target.bytes.data(), 4);
  frame.resize(kShortest);
  return frame;
}

Mac MacOfGroup(const std::array<uint8_t, 16>& group) {
  return {0x33, 0x33, group[12], group[13], group[14], group[15]};
}

struct Neighbour {
  uint8_t type;
  uint8_t flags;
  std::array<uint8_t, 16> source;
  std::array<uint8_t, 16> destination;
  Mac to;
  bool with_target_option;
};

Frame Build(const Neighbour& fields, const Ip& target, const Mac& from) {
  Frame frame = Begin(fields.to, from, kTypeIpv6);
  const uint16_t length = fields.with_target_option ? kNeighbour + 8 : kNeighbour;
  const uint8_t head[] = {0x60, 0, 0, 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), kIcmpv6, 255};
  Put(&frame, head, sizeof head);
  Put(&frame, fields.source);
  Put(&frame, fields.destination);
  const uint8_t message[] = {fields.type, 0, 0, 0, fields.flags, 0, 0, 0};
  Put(&frame, message, sizeof message);
  Put(&frame, target.bytes);
  if (fields.with_target_option) {
    const uint8_t option[] = {kTargetOption, 1};
    Put(&frame, option, sizeof option);
    Put(&frame, from);
  }
  uint8_t* icmp = frame.data() + kEthernet + kIpv6;
  const uint16_t checksum = Checksum(frame.data() + kEthernet, icmp, length);
  icmp[2] = static_cast<uint8_t>(checksum >> 8);
  icmp[3] = static_cast<uint8_t>(checksum);
  return frame;
}

// RFC 4861: the source is an address of the interface. Without a known one the target is, which the interface stands for.
std::array<uint8_t, 16> SourceOf(const Ip& source, const Ip& target) {
  return source.IsUnspecified() ? target.bytes : source.bytes;
}

}  // namespace

Parsed Parse(const uint8_t* frame, size_t length) {
  if (length < kEthernet) return {};
  switch (ReadU16(frame + 12)) {
    case kTypeArp:
      return ParseArp(frame, length);
    case kTypeIpv6:
      return ParseNeighbour(frame, length);
    default:
      return {};
  }
}

Frame Probe(const Ip& target, const Mac& from) {
  if (!target.v6) return Arp(kBroadcast, from, 1, Ip{}, kNoMac, target);
  std::array<uint8_t, 16> group = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  std::copy(target.bytes.begin() + 13, target.bytes.end(), group.begin() + 13);
  return Build({kSolicitation, 0, {}, group, MacOfGroup(group), false}, target, from);
}

Frame Announcement(const Ip& target, const Mac& from, const Ip& source, bool as_reply) {
  if (!target.v6) {
    return as_reply ? Arp(kBroadcast, from, 2, target, kBroadcast, target) : Arp(kBroadcast, from, 1, target, kNoMac, target);
  }
  return Build({kAdvertisement, kOverride, SourceOf(source, target), kAllNodes, MacOfGroup(kAllNodes), true}, target, from);
}

Frame Answer(const Heard& request, const Mac& from, const Ip& source) {
  const Ip& target = request.target;
  if (!target.v6) return Arp(request.sender, from, 2, target, request.sender, request.asker);
  // The address moves between nodes, so every answer overrides what is in caches.
  if (request.kind == Heard::Kind::kProbe) {
    return Build({kAdvertisement, kOverride, SourceOf(source, target), kAllNodes, MacOfGroup(kAllNodes), true}, target, from);
  }
  return Build({kAdvertisement, kSolicited | kOverride, SourceOf(source, target), request.asker.bytes, request.sender, true},
               target, from);
}

}  // namespace penstock::announce
