// From the endpoints that may serve to the one that shall: affinity first, then the algorithm among the healthy.
#ifndef PENSTOCK_ENGINE_CHOOSE_H_
#define PENSTOCK_ENGINE_CHOOSE_H_

#include <vector>

#include "worker.h"

namespace penstock::engine {

// Index into list.endpoints, kNobody when there is none. `tried`: indexes that have failed this client, in order; nullptr
// before the first attempt. Starts the probes that are due.
uint32_t ChooseEndpoint(Worker& worker, const ServicePointer& service, const EndpointList& list,
                        const Address& client, const std::vector<uint32_t>* tried);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_CHOOSE_H_
