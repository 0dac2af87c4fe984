// Whose address endpoints see with source address transparent or auto: the client's, wherever the kernel modes would not
// masquerade (spec of kube-proxy, section 7.5) and the answers come back this way.
#ifndef PENSTOCK_ENGINE_KEEPS_SOURCE_H_
#define PENSTOCK_ENGINE_KEEPS_SOURCE_H_

#include "worker.h"

namespace penstock::engine {

// For a connection to a key of `kind` that came in on `side`.
bool KeepsSource(const Service& service, KeyKind kind, Side side, const Address& client);

// Whether an endpoint that does not answer is noticed, and asked again: TCP, whose handshake shows it; or nobody notices: datagrams.
enum class Silence : uint8_t { kNoticed, kUnnoticed };

// What a connection to this endpoint is bound to; nullptr for the node's own address. A pod that reaches itself must see
// another address than its own; answers of the node itself would not pass the rule that catches them. What neighbours on one link
// send each other does not pass this host either: transparent takes the node's address for them, and says so; auto where silence
// goes unnoticed, or has shown it before.
const Address* SourceFor(Worker& worker, const Service& service, const Endpoint& endpoint, const Address& client,
                         Silence silence);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_KEEPS_SOURCE_H_
