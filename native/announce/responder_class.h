// class AnnounceResponder and class AnnounceModel, as src/kernel/announce/NativeResponder.ts describes them.
#ifndef PENSTOCK_ANNOUNCE_RESPONDER_CLASS_H_
#define PENSTOCK_ANNOUNCE_RESPONDER_CLASS_H_

#include <node_api.h>

namespace penstock {

bool DefineAnnounceResponder(napi_env env, napi_value exports);
bool DefineAnnounceModel(napi_env env, napi_value exports);
// As src/kernel/announce/NativeBfd.ts describes it.
bool DefineBfdEngine(napi_env env, napi_value exports);

}  // namespace penstock

#endif  // PENSTOCK_ANNOUNCE_RESPONDER_CLASS_H_
