// Checked conversions from JavaScript values and errors as Node throws them; for every class of the addon.
#ifndef PENSTOCK_NAPI_SUPPORT_H_
#define PENSTOCK_NAPI_SUPPORT_H_

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

namespace penstock {

// Each of these returns false with a JavaScript exception pending that names the argument `name`.
bool GetInteger(napi_env env, napi_value value, const char* name, int64_t min, int64_t max, int64_t* out);
bool GetString(napi_env env, napi_value value, const char* name, std::string* out);
bool GetFunction(napi_env env, napi_value value, const char* name);
bool GetBytes(napi_env env, napi_value value, const char* name, uint8_t** data, size_t* length);
bool GetUint32s(napi_env env, napi_value value, const char* name, uint32_t** data, size_t* length);

// A property of an object. False with an exception pending.
bool SetNumber(napi_env env, napi_value object, const char* name, double number);
// An object with a property for each; nullptr with an exception pending.
napi_value NumbersObject(napi_env env, std::initializer_list<std::pair<const char*, uint64_t>> numbers);

bool IsUndefined(napi_env env, napi_value value);

void ThrowTypeError(napi_env env, const std::string& message);
void ThrowRangeError(napi_env env, const std::string& message);

// A system error in Node's form: message, `code` ("EAGAIN"), `errno` (negative), `syscall`. `error` is positive.
// Returns it without throwing; nullptr with an exception pending when it cannot be made.
napi_value SystemError(napi_env env, int error, const char* syscall, const std::string& what);
void ThrowSystemError(napi_env env, int error, const char* syscall, const std::string& what);

}  // namespace penstock

#endif  // PENSTOCK_NAPI_SUPPORT_H_
