#ifndef PENSTOCK_ENGINE_BIND_PORTS_H_
#define PENSTOCK_ENGINE_BIND_PORTS_H_

#include <vector>

#include "engine.h"

namespace penstock::engine {

// For each thread, protocol, family and side a socket; those of all threads share a port. In the order in which threads
// take them: one after the other for each kind. Throws std::system_error.
std::vector<ListeningSocket> BindPorts(const EngineOptions& options);

// The same for Side::kUntranslated, TCP alone: on loopback, as nobody is to call them there. None of a family where that is not
// possible.
std::vector<ListeningSocket> BindUntranslated(const EngineOptions& options);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_BIND_PORTS_H_
