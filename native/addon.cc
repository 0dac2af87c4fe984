// Entry point of the addon. It keeps nothing global, so that every worker thread may load it.
#include <node_api.h>

#include "announce/bgp_socket.h"
#include "announce/responder_class.h"
#include "choice_class.h"
#include "give_back.h"
#include "hold_class.h"
#include "netlink_socket.h"
#include "node_lock.h"
#include "notify_socket.h"
#include "proxy_engine_class.h"
#include "reduce_capabilities.h"
#include "xtables_info.h"

NAPI_MODULE_INIT() {
  if (!penstock::DefineNetlinkSocket(env, exports) || !penstock::DefineXtablesInfo(env, exports) ||
      !penstock::DefineProxyEngine(env, exports) || !penstock::DefineReduceCapabilities(env, exports) ||
      !penstock::DefineChoiceQueue(env, exports) || !penstock::DefineHoldQueue(env, exports) ||
      !penstock::DefineAnnounceResponder(env, exports) || !penstock::DefineAnnounceModel(env, exports) ||
      !penstock::DefineBgpSocket(env, exports) || !penstock::DefineBfdEngine(env, exports) ||
      !penstock::DefineNodeLock(env, exports) || !penstock::DefineNotifySocket(env, exports) ||
      !penstock::DefineGiveBack(env, exports)) {
    return nullptr;
  }
  return exports;
}
