// What sockets need in more than one place.
#ifndef PENSTOCK_ENGINE_SOCKETS_H_
#define PENSTOCK_ENGINE_SOCKETS_H_

#include "service.h"

namespace penstock::engine {

// The other side gets a reset, not an end.
void CloseWithReset(int fd);

void SetOption(int fd, int level, int name, int value);

// The error that epoll tells of; clears it.
int PendingError(int fd);

// A non-blocking socket to the endpoint, on its way to be connected. -1 with errno. With source address transparent and
// an endpoint on this node, the endpoint sees the client's address.
int DialEndpoint(const Service& service, const Endpoint& endpoint, const Address& client);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SOCKETS_H_
