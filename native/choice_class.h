// class ChoiceQueue, as src/kernel/addon/NativeChoice.ts describes it.
#ifndef PENSTOCK_CHOICE_CLASS_H_
#define PENSTOCK_CHOICE_CLASS_H_

#include <node_api.h>

namespace penstock {

// Puts the class into `exports`. Returns false with a JavaScript exception pending.
bool DefineChoiceQueue(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_CHOICE_CLASS_H_
