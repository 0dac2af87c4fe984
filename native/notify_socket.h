// Datagrams to a Unix socket, which Node cannot send: how a service manager is told how its service does (sd_notify(3)).
#ifndef PENSTOCK_NOTIFY_SOCKET_H_
#define PENSTOCK_NOTIFY_SOCKET_H_

#include <node_api.h>

namespace penstock {

// Adds to the exports:
//   sendToUnixSocket(address: string, text: string): void
//     One datagram, without waiting. An address that begins with @ is in the abstract namespace. Throws as sendto does
//     (ENOENT, ECONNREFUSED, EAGAIN when its queue is full), and RangeError for an address that is too long.
bool DefineNotifySocket(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_NOTIFY_SOCKET_H_
