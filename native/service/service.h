// A service port as the engine sees it. Never changes once it is made: threads share it without locks.
#ifndef PENSTOCK_ENGINE_SERVICE_H_
#define PENSTOCK_ENGINE_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "address.h"

namespace penstock::engine {

// The numbers are part of the format of updates (src/dataplane/userspace/encodeServices.ts).
enum class Algorithm : uint8_t {
  kRandom = 0,
  kRoundRobin = 1,
  kLeastConnections = 2,
  kPowerOfTwo = 3,
  kSourceHash = 4,
  kMaglev = 5,
};

enum class ProxyProtocol : uint8_t { kNone = 0, kV1 = 1, kV2 = 2 };

struct Endpoint {
  Address address;
  uint32_t cell;
  uint16_t weight;
  bool local;    // runs on this node
  bool on_host;  // has an address of the node itself
};

// The endpoints that may serve, and what the algorithm has computed from them in advance.
struct EndpointList {
  std::vector<Endpoint> endpoints;
  // Random and power of two: running sums of the weights. Round robin and source hash: the slots. Maglev: the table.
  std::vector<uint32_t> prepared;
};

enum class KeyKind : uint8_t { kInternal = 0, kExternal = 1, kNodePort = 2 };

struct Key {
  KeyKind kind;
  Address address;  // all zero for a node port
};

constexpr uint8_t kNoRange = 255;

struct Service {
  uint32_t cell;
  uint32_t tenant;   // who pays: a number for its namespace
  uint8_t protocol;  // IPPROTO_TCP or IPPROTO_UDP
  uint8_t family;
  Algorithm algorithm;
  ProxyProtocol proxy_protocol;
  bool transparent;              // endpoints see the client's address wherever kube-proxy would leave it
  bool careful;                  // and only where the answers come back: otherwise they see the node's
  bool external_local;           // external traffic policy Local
  bool all_masqueraded;          // none of the cluster IP's clients keeps its address
  Address pods;                  // the pods' range: its first address
  uint8_t pods_bits;             // its prefix length; kNoRange: pods cannot be told from others
  uint32_t affinity_ms;          // 0: none
  uint32_t idle_ms;              // 0: never
  uint32_t lifetime_ms;          // 0: for ever
  std::vector<uint32_t> attempts_ms;
  std::vector<Key> keys;
  std::vector<EndpointList> lists;
  // Indexes into lists: for the cluster IP; for other VIPs and the node port, from outside and from this node or its pods.
  uint8_t internal_list;
  uint8_t outside_list;
  uint8_t inside_list;
  uint32_t wait_ms;         // of connections while nobody serves; 0: they are reset
  uint32_t endpoint_count;  // different ones in all lists
};

using ServicePointer = std::shared_ptr<const Service>;

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SERVICE_H_
