// Has the kernel give connections for cluster IPs to listening sockets of ours, as they are: without NAT, so that nothing of
// a packet is rewritten (Documentation/bpf/prog_sk_lookup.rst, Linux 5.9). Packets come by only when they are for this host: a
// route must say so. Who looks up which Service is meant is the engine.
#ifndef PENSTOCK_LOOKUP_SOCKET_LOOKUP_H_
#define PENSTOCK_LOOKUP_SOCKET_LOOKUP_H_

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "../unique_fd.h"

namespace penstock::lookup {

// A range of addresses. IPv4 stands in it as ::ffff:a.b.c.d; `bits` counts from the first of the 16 bytes.
struct Range {
  uint8_t bits;
  std::array<uint8_t, 16> first;

  bool operator<(const Range& other) const { return bits != other.bits ? bits < other.bits : first < other.first; }
};

class SocketLookup {
 public:
  // `listeners`: of TCP, at most one for each family (-1: none); of sockets that share a port (SO_REUSEPORT) any one stands for
  // all. In force, for no range yet, in the network namespace of the calling thread, until it is destroyed or the process
  // dies; of several the last one decides. Throws std::system_error: EPERM without CAP_BPF and CAP_NET_ADMIN.
  SocketLookup(int ipv4_listener, int ipv6_listener);

  // Whether this kernel has all that it takes and this process the right to it; attaches nothing. Throws std::system_error.
  static void Probe();

  // Those of before and others are no longer. At most kMostRanges. Throws std::system_error.
  void SetRanges(const std::vector<Range>& ranges);

  static constexpr size_t kMostRanges = 64;

 private:
  std::set<Range> known_;
  UniqueFd ranges_;
  UniqueFd sockets_;
  UniqueFd link_;
};

}  // namespace penstock::lookup

#endif  // PENSTOCK_LOOKUP_SOCKET_LOOKUP_H_
