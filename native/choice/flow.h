// One connection as its first packet or the kernel's table of connections shows it.
#ifndef PENSTOCK_CHOICE_FLOW_H_
#define PENSTOCK_CHOICE_FLOW_H_

#include <cstddef>
#include <cstdint>

#include "../service/address.h"

namespace penstock::choice {

using engine::Address;

struct Flow {
  Address source;
  Address destination;
  uint8_t protocol = 0;
  // Of TCP, in a packet: the same when it comes again, another when the ports are used for a new connection.
  uint32_t sequence = 0;
  // Of a packet: where TCP's, UDP's or SCTP's header begins.
  uint16_t transport = 0;

  bool operator==(const Flow& other) const {
    return protocol == other.protocol && source == other.source && destination == other.destination;
  }
};

struct FlowHash {
  size_t operator()(const Flow& flow) const {
    return engine::HashOf(flow.source) ^ (engine::HashOf(flow.destination) + flow.protocol) * 0x9e3779b97f4a7c15ULL;
  }
};

// An address and port under a protocol: a VIP, or an endpoint.
struct Place {
  Address address;
  uint8_t protocol = 0;

  bool operator==(const Place& other) const { return protocol == other.protocol && address == other.address; }
};

struct PlaceHash {
  size_t operator()(const Place& place) const {
    return engine::HashOf(place.address) ^ place.protocol * 0x9e3779b97f4a7c15ULL;
  }
};

// From the beginning of an IP packet, as much of it as was copied. False for what has no ports that can be read: fragments, other
// protocols, too short a copy.
bool ReadPacket(const uint8_t* packet, size_t length, Flow* flow);

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_FLOW_H_
