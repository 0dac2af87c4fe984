// class HoldQueue, as src/kernel/addon/NativeHold.ts describes it.
#ifndef PENSTOCK_HOLD_CLASS_H_
#define PENSTOCK_HOLD_CLASS_H_

#include <node_api.h>

namespace penstock {

// Puts the class into `exports`. Returns false with a JavaScript exception pending.
bool DefineHoldQueue(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_HOLD_CLASS_H_
