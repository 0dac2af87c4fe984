#include "flow.h"

namespace penstock::choice {

namespace {

constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr int kMostExtensions = 8;

uint16_t ReadU16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }

bool HasPorts(uint8_t protocol) { return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP; }

bool ReadPorts(const uint8_t* packet, size_t length, size_t at, uint8_t protocol, Flow* flow) {
  if (!HasPorts(protocol) || at + 4 > length) return false;
  flow->protocol = protocol;
  flow->transport = static_cast<uint16_t>(at);
  flow->source.port = ReadU16(packet + at);
  flow->destination.port = ReadU16(packet + at + 2);
  if (protocol == IPPROTO_TCP && at + 8 <= length)
    flow->sequence = uint32_t{ReadU16(packet + at + 4)} << 16 | ReadU16(packet + at + 6);
  return true;
}

bool ReadIpv4(const uint8_t* packet, size_t length, Flow* flow) {
  if (length < kIpv4Header) return false;
  const size_t header = (packet[0] & 15) * size_t{4};
  const bool is_later_fragment = (ReadU16(packet + 6) & 0x1fff) != 0;
  if (header < kIpv4Header || is_later_fragment) return false;
  flow->source.family = flow->destination.family = AF_INET;
  memcpy(flow->source.bytes, packet + 12, 4);
  memcpy(flow->destination.bytes, packet + 16, 4);
  return ReadPorts(packet, length, header, packet[9], flow);
}

bool ReadIpv6(const uint8_t* packet, size_t length, Flow* flow) {
  if (length < kIpv6Header) return false;
  flow->source.family = flow->destination.family = AF_INET6;
  memcpy(flow->source.bytes, packet + 8, 16);
  memcpy(flow->destination.bytes, packet + 24, 16);
  uint8_t next = packet[6];
  size_t at = kIpv6Header;
  for (int i = 0; i < kMostExtensions; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_ROUTING) break;
    if (at + 8 > length) return false;
    next = packet[at];
    at += (packet[at + 1] + size_t{1}) * 8;
  }
  return ReadPorts(packet, length, at, next, flow);
}

}  // namespace

bool ReadPacket(const uint8_t* packet, size_t length, Flow* flow) {
  if (length == 0) return false;
  switch (packet[0] >> 4) {
    case 4:
      return ReadIpv4(packet, length, flow);
    case 6:
      return ReadIpv6(packet, length, flow);
    default:
      return false;
  }
}

}  // namespace penstock::choice
