#include "napi_class.h"

#include <algorithm>

namespace penstock {

void* UnwrapTagged(napi_env env, napi_value self, const napi_type_tag& tag, const char* class_name) {
  bool ours = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, self, &tag, &ours) == napi_ok && ours && napi_unwrap(env, self, &data) == napi_ok)
    return data;
  ThrowTypeError(env, std::string("this must be ") + class_name);
  return nullptr;
}

napi_property_descriptor Method(const char* name, napi_callback method) {
  return {name, nullptr, method, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

napi_property_descriptor Getter(const char* name, napi_callback getter) {
  return {name, nullptr, nullptr, getter, nullptr, nullptr, napi_enumerable, nullptr};
}

bool DefineClass(napi_env env, napi_value exports, const char* name, napi_callback constructor,
                 std::initializer_list<napi_property_descriptor> members) {
  napi_value made;
  return napi_define_class(env, name, NAPI_AUTO_LENGTH, constructor, nullptr, members.size(), members.begin(), &made) ==
             napi_ok &&
         napi_set_named_property(env, exports, name, made) == napi_ok;
}

bool DefineFunction(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value made;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &made) == napi_ok &&
         napi_set_named_property(env, exports, name, made) == napi_ok;
}

bool GetNumber(napi_env env, napi_value object, const char* name, int64_t min, int64_t max, int64_t* out) {
  napi_value value;
  return napi_get_named_property(env, object, name, &value) == napi_ok && GetInteger(env, value, name, min, max, out);
}

napi_value BytesArray(napi_env env, const uint8_t* bytes, size_t length) {
  napi_value buffer, array = nullptr;
  void* data = nullptr;
  if (napi_create_arraybuffer(env, length, &data, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array) != napi_ok) {
    return nullptr;
  }
  std::copy(bytes, bytes + length, static_cast<uint8_t*>(data));
  return array;
}

}  // namespace penstock
