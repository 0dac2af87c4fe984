// Reads one service port out of an update. Layout: src/dataplane/userspace/encodeServices.ts.
#ifndef PENSTOCK_ENGINE_DECODE_H_
#define PENSTOCK_ENGINE_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "service.h"

namespace penstock::engine {

// Little endian. Reading past the end gives zeros and makes ok() false.
class Reader {
 public:
  Reader(const uint8_t* data, size_t length) : at_(data), end_(data + length) {}

  bool ok() const { return ok_; }
  bool at_end() const { return at_ == end_; }
  const uint8_t* at() const { return at_; }
  uint8_t U8() { return Number<uint8_t>(); }
  uint16_t U16() { return Number<uint16_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  void Bytes(uint8_t* out, size_t count) {
    if (!Have(count)) return;
    memcpy(out, at_, count);
    at_ += count;
  }

 private:
  template <typename T>
  T Number() {
    T value = 0;
    if (!Have(sizeof value)) return 0;
    memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  bool Have(size_t count) {
    if (static_cast<size_t>(end_ - at_) >= count) return true;
    ok_ = false;
    return false;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

// False when the bytes are not a service port; `service` is then worth nothing.
bool DecodeService(Reader& reader, Service* service);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_DECODE_H_
