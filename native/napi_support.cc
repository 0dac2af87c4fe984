#include "napi_support.h"

#include <uv.h>

#include <cmath>

namespace penstock {

namespace {

bool GetTypedArray(napi_env env, napi_value value, napi_typedarray_type wanted, void** data, size_t* length) {
  bool is_typed_array = false;
  if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok || !is_typed_array) return false;
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, length, data, nullptr, nullptr) != napi_ok) return false;
  return type == wanted;
}

napi_valuetype TypeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

bool SetProperty(napi_env env, napi_value object, const char* name, const char* text) {
  napi_value value;
  return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

}  // namespace

bool SetNumber(napi_env env, napi_value object, const char* name, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

napi_value NumbersObject(napi_env env, std::initializer_list<std::pair<const char*, uint64_t>> numbers) {
  napi_value object;
  if (napi_create_object(env, &object) != napi_ok) return nullptr;
  for (const auto& [name, number] : numbers)
    if (!SetNumber(env, object, name, static_cast<double>(number))) return nullptr;
  return object;
}

bool GetInteger(napi_env env, napi_value value, const char* name, int64_t min, int64_t max, int64_t* out) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    ThrowTypeError(env, std::string(name) + " must be a number");
    return false;
  }
  // A NaN fails every comparison, so the test is for what is right.
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max)) ||
      number != std::floor(number)) {
    ThrowRangeError(env, std::string(name) + " must be a whole number from " + std::to_string(min) + " to " +
                             std::to_string(max));
    return false;
  }
  *out = static_cast<int64_t>(number);
  return true;
}

bool GetString(napi_env env, napi_value value, const char* name, std::string* out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    ThrowTypeError(env, std::string(name) + " must be a string");
    return false;
  }
  out->resize(length + 1);  // napi writes a NUL after the text
  if (napi_get_value_string_utf8(env, value, &(*out)[0], length + 1, &length) != napi_ok) {
    ThrowTypeError(env, std::string(name) + " cannot be read");
    return false;
  }
  out->resize(length);
  return true;
}

bool GetFunction(napi_env env, napi_value value, const char* name) {
  if (TypeOf(env, value) == napi_function) return true;
  ThrowTypeError(env, std::string(name) + " must be a function");
  return false;
}

bool GetBytes(napi_env env, napi_value value, const char* name, uint8_t** data, size_t* length) {
  void* start = nullptr;
  if (!GetTypedArray(env, value, napi_uint8_array, &start, length)) {
    ThrowTypeError(env, std::string(name) + " must be a Uint8Array");
    return false;
  }
  *data = static_cast<uint8_t*>(start);
  return true;
}

bool GetUint32s(napi_env env, napi_value value, const char* name, uint32_t** data, size_t* length) {
  void* start = nullptr;
  if (!GetTypedArray(env, value, napi_uint32_array, &start, length)) {
    ThrowTypeError(env, std::string(name) + " must be a Uint32Array");
    return false;
  }
  *data = static_cast<uint32_t*>(start);
  return true;
}

bool IsUndefined(napi_env env, napi_value value) { return TypeOf(env, value) == napi_undefined; }

void ThrowTypeError(napi_env env, const std::string& message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message.c_str());
}

void ThrowRangeError(napi_env env, const std::string& message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message.c_str());
}

napi_value SystemError(napi_env env, int error, const char* syscall, const std::string& what) {
  char code[64];
  char reason[128];
  uv_err_name_r(-error, code, sizeof code);
  uv_strerror_r(-error, reason, sizeof reason);
  const std::string message = std::string(code) + ": " + what + ": " + reason;
  napi_value text, thrown, number;
  if (napi_create_string_utf8(env, message.c_str(), message.size(), &text) != napi_ok ||
      napi_create_error(env, nullptr, text, &thrown) != napi_ok ||
      napi_create_int32(env, -error, &number) != napi_ok ||
      napi_set_named_property(env, thrown, "errno", number) != napi_ok ||
      !SetProperty(env, thrown, "code", code) || !SetProperty(env, thrown, "syscall", syscall)) {
    return nullptr;
  }
  return thrown;
}

void ThrowSystemError(napi_env env, int error, const char* syscall, const std::string& what) {
  napi_value thrown = SystemError(env, error, syscall, what);
  if (thrown != nullptr) napi_throw(env, thrown);
}

}  // namespace penstock
