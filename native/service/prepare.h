// What the algorithms compute once for a list of endpoints. The same as src/balancing/ does, tested against it.
#ifndef PENSTOCK_ENGINE_PREPARE_H_
#define PENSTOCK_ENGINE_PREPARE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "service.h"

namespace penstock::engine {

// `most_entries`: of the list that weights or Maglev make.
void Prepare(Algorithm algorithm, uint32_t most_entries, EndpointList* list);

// MurmurHash3_x86_32, as in src/balancing/murmur3.ts.
uint32_t Murmur3(const uint8_t* data, size_t length, uint32_t seed);

// `10.0.0.1:80`, `[fd00::1]:80`
std::string TargetOf(const Address& address);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PREPARE_H_
