// Records that TypeScript writes (src/balancer/layer2/orders.ts) and events as objects for it.
#ifndef PENSTOCK_ANNOUNCE_RECORDS_H_
#define PENSTOCK_ANNOUNCE_RECORDS_H_

#include <node_api.h>

#include <string>
#include <vector>

#include "orders.h"
#include "responder.h"

namespace penstock::announce {

// False with a JavaScript exception pending.
// `ip` stays as it is where there are no bytes.
bool ToIp(napi_env env, napi_value value, const char* name, Ip* ip);
// The same of a property.
bool ReadIp(napi_env env, napi_value object, const char* name, Ip* ip);
bool ReadOrders(napi_env env, napi_value value, std::vector<Order>* orders);
bool ReadInterfaces(napi_env env, napi_value value, std::vector<Interface>* interfaces);
bool ReadPeers(napi_env env, napi_value value, std::vector<PeerWish>* peers);

// nullptr with an exception pending.
napi_value EventsArray(napi_env env, const std::vector<Event>& events);
napi_value StatusObject(napi_env env, const ResponderStatus& status);

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_RECORDS_H_
