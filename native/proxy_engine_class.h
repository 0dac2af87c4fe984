// The JavaScript class ProxyEngine; its contract is written down in src/kernel/addon/NativeEngine.ts.
#ifndef PENSTOCK_PROXY_ENGINE_CLASS_H_
#define PENSTOCK_PROXY_ENGINE_CLASS_H_

#include <node_api.h>

namespace penstock {

// Puts the class into `exports`. Returns false with a JavaScript exception pending.
bool DefineProxyEngine(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_PROXY_ENGINE_CLASS_H_
