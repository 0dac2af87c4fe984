// bgpSocket(): a TCP socket with the options of BGP that Node.js cannot set.
#ifndef PENSTOCK_ANNOUNCE_BGP_SOCKET_H_
#define PENSTOCK_ANNOUNCE_BGP_SOCKET_H_

#include <node_api.h>

namespace penstock {

bool DefineBgpSocket(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_ANNOUNCE_BGP_SOCKET_H_
