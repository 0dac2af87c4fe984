// What sockets need in more than one place.
#ifndef PENSTOCK_ENGINE_SOCKETS_H_
#define PENSTOCK_ENGINE_SOCKETS_H_

#include "../service/service.h"

namespace penstock::engine {

// The other side gets a reset, not an end.
void CloseWithReset(int fd);

void SetOption(int fd, int level, int name, int value);

// What the socket is bound to, or has as its own end of a connection.
Address OwnAddress(int fd);

// The error that epoll tells of; clears it.
int PendingError(int fd);

enum class FirstData : uint8_t { kNone, kWaiting };

// A non-blocking socket; what it sends bears the mark, unless that is 0. -1 with errno.
int OpenSocket(uint8_t family, int type, uint32_t mark);

// A socket of OpenSocket to the endpoint, on its way to be connected. -1 with errno. `source`: the address that the
// endpoint shall see, nullptr for the node's. With data waiting to be sent the handshake's last
// packet waits for it: one packet less. A server that speaks first must not wait.
int DialEndpoint(const Service& service, const Endpoint& endpoint, const Address* source, FirstData first,
                 uint32_t mark);

// Small writes are sent at once.
void SetNoDelay(int fd);
// A peer that has vanished is noticed after five minutes.
void SetKeepAlive(int fd);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SOCKETS_H_
