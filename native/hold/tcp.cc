#include "tcp.h"

#include <netinet/in.h>

#include <initializer_list>

namespace penstock::hold {

namespace {

constexpr size_t kHeader = 20;
constexpr size_t kFlags = 13;
constexpr size_t kChecksum = 16;
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kRst = 0x04;
constexpr uint8_t kAck = 0x10;
constexpr uint8_t kEndOfOptions = 0;
constexpr uint8_t kNothing = 1;
constexpr uint8_t kTimestamp = 8;
constexpr uint8_t kTimestampLength = 10;

uint16_t Read16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }

void Write16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

uint32_t Sum(const uint8_t* at, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += Read16(at + i);
  if (length % 2 != 0) sum += static_cast<uint32_t>(at[length - 1] << 8);
  return sum;
}

uint16_t Fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Of the value in TCP's option, nullptr without one.
uint8_t* FindTimestamp(uint8_t* tcp, size_t length) {
  const size_t end = (tcp[12] >> 4) * size_t{4};
  if (end < kHeader || end > length) return nullptr;
  for (size_t at = kHeader; at < end && tcp[at] != kEndOfOptions;) {
    if (tcp[at] == kNothing) {
      at++;
      continue;
    }
    if (at + 2 > end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) return nullptr;
    if (tcp[at] == kTimestamp) return tcp[at + 1] == kTimestampLength ? tcp + at + 2 : nullptr;
    at += tcp[at + 1];
  }
  return nullptr;
}

uint16_t WholeChecksum(const uint8_t* packet, size_t length, size_t transport) {
  const bool is_v4 = packet[0] >> 4 == 4;
  const uint8_t* addresses = is_v4 ? packet + 12 : packet + 8;
  const size_t tcp_length = length - transport;
  uint32_t sum = Sum(addresses, is_v4 ? 8 : 32) + IPPROTO_TCP + static_cast<uint32_t>(tcp_length);
  sum += Sum(packet + transport, tcp_length) - Read16(packet + transport + kChecksum);
  return static_cast<uint16_t>(~Fold(sum));
}

}  // namespace

bool IsSyn(const uint8_t* packet, size_t length, size_t transport) {
  return transport + kHeader <= length && (packet[transport + kFlags] & (kSyn | kAck | kRst)) == kSyn;
}

bool AddToTimestamp(uint8_t* packet, size_t length, size_t transport, uint32_t milliseconds, bool lacks_checksum) {
  if (transport + kHeader > length) return false;
  uint8_t* tcp = packet + transport;
  uint8_t* at = FindTimestamp(tcp, length - transport);
  if (at == nullptr) return false;
  const uint32_t before = uint32_t{Read16(at)} << 16 | Read16(at + 2);
  const uint32_t after = before + milliseconds;
  Write16(at, static_cast<uint16_t>(after >> 16));
  Write16(at + 2, static_cast<uint16_t>(after));
  if (lacks_checksum) {
    Write16(tcp + kChecksum, WholeChecksum(packet, length, transport));
    return true;
  }
  // RFC 1624, equation 3. An option may begin at an odd byte: its words are then swapped, and so is their sum.
  uint32_t change = 0;
  for (const uint32_t word : {before >> 16, before & 0xffff}) change += ~word & 0xffff;
  change += (after >> 16) + (after & 0xffff);
  uint16_t folded = Fold(change);
  if ((at - tcp) % 2 != 0) folded = static_cast<uint16_t>(folded << 8 | folded >> 8);
  const uint32_t sum = (~uint32_t{Read16(tcp + kChecksum)} & 0xffff) + folded;
  Write16(tcp + kChecksum, static_cast<uint16_t>(~Fold(sum)));
  return true;
}

}  // namespace penstock::hold
