// Passive health: endpoints that refuse or do not answer get no new connections for a while, which doubles each time.
// All state is in the cells, so that it outlives snapshots and TypeScript can show it.
#ifndef PENSTOCK_ENGINE_HEALTH_H_
#define PENSTOCK_ENGINE_HEALTH_H_

#include <cstdint>

#include "../../service/cells.h"
#include "../../service/pick.h"
#include "../../service/service.h"

namespace penstock::engine {

enum class Failure : uint8_t { kRefused = 0, kTimedOut = 1 };

class Health {
 public:
  explicit Health(const Cells& cells) : cells_(cells) {}

  // A connection to the endpoint failed. True when it is ejected by this, until ejected_until of its cell.
  bool Failed(const Service& service, uint32_t endpoint_cell, Failure why, uint64_t now_ms, Random& random) const;

  // Whether new connections should avoid it.
  bool IsEjected(uint32_t endpoint_cell) const {
    return cells_.endpoint(endpoint_cell).ejected_until.load(std::memory_order_relaxed) != 0;
  }

  // Whether it failed a moment ago and could not be ejected, because half of the endpoints are. With counts of connections
  // it would look idle, and attract everybody.
  bool IsSuspect(uint32_t endpoint_cell, uint64_t now_ms) const;
  // A connection to it was established.
  void Succeeded(uint32_t endpoint_cell) const;

  // True for one caller when the time of an ejected endpoint is over: he makes the probing connection, and tells how it
  // went with ProbeEnded.
  bool TakeProbe(uint32_t endpoint_cell, uint64_t now_ms) const;
  void ProbeEnded(const Service& service, uint32_t endpoint_cell, bool answered, uint64_t now_ms,
                  Random& random) const;

  // Retries cost; connections and time earn them, so that a dead service cannot multiply the load.
  void EarnRetry(const Service& service, uint64_t now_ms) const;
  bool SpendRetry(const Service& service) const;

 private:
  bool TakeEjection(const Service& service, Failure why) const;
  bool Displace(const Service& service) const;

  const Cells& cells_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_HEALTH_H_
