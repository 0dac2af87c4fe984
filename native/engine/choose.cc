#include "choose.h"

#include <algorithm>

#include "../service/prepare.h"

namespace penstock::engine {

namespace {

bool Any(const Eligible& eligible) { return std::find(eligible.begin(), eligible.end(), 1) != eligible.end(); }

// Those that have not failed this client. When all have, the rest of the attempts begin anew.
Eligible NotTried(size_t count, const std::vector<uint32_t>* tried) {
  Eligible eligible(count, 1);
  if (tried == nullptr) return eligible;
  const size_t rounds = tried->size() / count * count;
  for (size_t i = rounds; i < tried->size(); i++) eligible[(*tried)[i]] = 0;
  return eligible;
}

}  // namespace

uint32_t ChooseEndpoint(Worker& worker, const ServicePointer& service, const EndpointList& list,
                        const Address& client, const std::vector<uint32_t>* tried) {
  if (list.endpoints.empty()) return kNobody;
  Shared& shared = worker.shared();
  ServiceCell& cell = shared.cells.service(service->cell);
  const bool some_ejected = cell.ejected.load(std::memory_order_relaxed) != 0;
  if (some_ejected) worker.StartProbes(service, list);
  if (service->affinity_ms != 0 && tried == nullptr) {
    const uint32_t index = shared.affinity.Find(*service, list, client, worker.now_ms());
    if (index != kNobody && !shared.health.IsEjected(list.endpoints[index].cell)) return index;
  }
  Eligible eligible;
  if (some_ejected || tried != nullptr) {
    eligible = NotTried(list.endpoints.size(), tried);
    Eligible healthy = eligible;
    for (size_t i = 0; i < healthy.size(); i++)
      if (shared.health.IsEjected(list.endpoints[i].cell) ||
          shared.health.IsSuspect(list.endpoints[i].cell, worker.now_ms()))
        healthy[i] = 0;
    // Better one that was ejected than nobody.
    if (Any(healthy)) eligible = std::move(healthy);
  }
  const bool by_client =
      service->algorithm == Algorithm::kSourceHash || service->algorithm == Algorithm::kMaglev;
  const uint32_t hash = by_client ? Murmur3(client.bytes, client.size(), 0) : 0;
  return PickEndpoint(service->algorithm, list, eligible, shared.cells, cell.cursor, hash, worker.random());
}

}  // namespace penstock::engine
