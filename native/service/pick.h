// Which endpoint a new connection goes to. The reference is src/balancing/pick.ts; both give the same for the same draws.
#ifndef PENSTOCK_ENGINE_PICK_H_
#define PENSTOCK_ENGINE_PICK_H_

#include <cstdint>
#include <vector>

#include "cells.h"
#include "service.h"

namespace penstock::engine {

// sfc32 (Chris Doty-Humphrey, public domain): small, fast, the same in TypeScript.
class Random {
 public:
  explicit Random(uint32_t seed) : a_(seed), b_(0x9e3779b9), c_(0x243f6a88), counter_(1) {
    for (int i = 0; i < 12; i++) Next();
  }
  uint32_t Next() {
    const uint32_t out = a_ + b_ + counter_++;
    a_ = b_ ^ b_ >> 9;
    b_ = c_ + (c_ << 3);
    c_ = (c_ << 21 | c_ >> 11) + out;
    return out;
  }
  // 0 .. below-1
  uint32_t Below(uint32_t below) { return static_cast<uint32_t>(uint64_t{Next()} * below >> 32); }

 private:
  uint32_t a_, b_, c_, counter_;
};

constexpr uint32_t kNobody = UINT32_MAX;

// For each endpoint of the list whether it may be picked. Empty: all may.
using Eligible = std::vector<uint8_t>;

// Index into list.endpoints; kNobody when none may be picked. `client_hash` is Murmur3 of the client's address bytes.
// Endpoints of weight 0 are picked by none unless all are.
uint32_t PickEndpoint(Algorithm algorithm, const EndpointList& list, const Eligible& eligible, const Cells& cells,
                      std::atomic<uint64_t>& cursor, uint32_t client_hash, Random& random);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PICK_H_
