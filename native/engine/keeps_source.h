// Whose address endpoints see with source address transparent or auto: the client's, wherever the kernel modes would not
// masquerade (spec of kube-proxy, section 7.5) and the answers come back this way.
#ifndef PENSTOCK_ENGINE_KEEPS_SOURCE_H_
#define PENSTOCK_ENGINE_KEEPS_SOURCE_H_

#include "worker.h"

namespace penstock::engine {

// For a connection to a key of `kind` that came in on `side`.
bool KeepsSource(const Service& service, KeyKind kind, Side side, const Address& client);

// What a connection to this endpoint is bound to; nullptr for the node's own address. A pod that reaches itself must see
// another address than its own; answers of the node itself would not pass the rule that catches them.
inline const Address* SourceFor(bool keeps_source, const Endpoint& endpoint, const Address& client) {
  const bool itself = memcmp(endpoint.address.bytes, client.bytes, sizeof client.bytes) == 0;
  return keeps_source && !itself && !endpoint.on_host ? &client : nullptr;
}

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_KEEPS_SOURCE_H_
