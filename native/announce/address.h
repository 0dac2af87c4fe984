// Addresses as they are on the wire; keys of maps.
#ifndef PENSTOCK_ANNOUNCE_ADDRESS_H_
#define PENSTOCK_ANNOUNCE_ADDRESS_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <tuple>

namespace penstock::announce {

// Milliseconds of CLOCK_MONOTONIC.
using Time = int64_t;

using Mac = std::array<uint8_t, 6>;
constexpr Mac kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr Mac kNoMac = {};

struct Ip {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};

  size_t size() const { return v6 ? 16 : 4; }
  bool IsUnspecified() const { return bytes == std::array<uint8_t, 16>{}; }
  // The last four bytes as a number; what the filter of the sockets looks at.
  uint32_t Tail() const {
    const uint8_t* tail = bytes.data() + size() - 4;
    return uint32_t{tail[0]} << 24 | uint32_t{tail[1]} << 16 | uint32_t{tail[2]} << 8 | tail[3];
  }
  bool operator==(const Ip& other) const { return v6 == other.v6 && bytes == other.bytes; }
  bool operator<(const Ip& other) const { return std::tie(v6, bytes) < std::tie(other.v6, other.bytes); }

  static Ip From(const uint8_t* data, bool is_v6) {
    Ip ip;
    ip.v6 = is_v6;
    memcpy(ip.bytes.data(), data, ip.size());
    return ip;
  }
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_ADDRESS_H_
