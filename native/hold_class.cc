#include "hold_class.h"

#include <memory>
#include <utility>
#include <vector>

#include "notifier.h"
#include "hold/thread.h"
#include "napi_class.h"

namespace penstock {

namespace {

using hold::HoldOptions;
using hold::HoldStatus;
using hold::HoldThread;

struct Holder {
  static constexpr napi_type_tag kTag = {0x61b0c9fe2d7a4813, 0xe4570d9a8c3b16f2};
  static constexpr const char* kClass = "HoldQueue";
  static constexpr const char* kSubsystem = "nfqueue";

  std::unique_ptr<HoldThread> thread;
  Notifier notifier;

  bool IsOpen() const { return thread != nullptr; }
  // The thread ends before what it calls.
  void End() {
    thread.reset();
    notifier.Close();
  }
};

using HolderCall = Call<Holder>;

// new HoldQueue({firstQueue}, onEvents)
napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], self;
  napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
  int64_t first;
  if (!GetNumber(env, arguments[0], "firstQueue", 0, UINT16_MAX - 16, &first) ||
      !GetFunction(env, arguments[1], "onEvents")) {
    return nullptr;
  }
  auto holder = std::make_unique<Holder>();
  if (!holder->notifier.Open(env, arguments[1], "hold")) {
    ThrowTypeError(env, "onEvents cannot be called from a thread");
    return nullptr;
  }
  HoldOptions options{static_cast<uint16_t>(first), [notifier = holder->notifier] { notifier.Notify(); }};
  if (!Catch(env, Holder::kSubsystem, [&] { holder->thread = std::make_unique<HoldThread>(std::move(options)); })) {
    holder->End();
    return nullptr;
  }
  return Wrap(env, self, std::move(holder));
}

// [id, what, id, what, …]
napi_value TakeEvents(napi_env env, napi_callback_info info) {
  const HolderCall call(env, info);
  napi_value array = nullptr;
  if (call.state == nullptr || napi_create_array(env, &array) != napi_ok) return nullptr;
  uint32_t i = 0;
  for (const auto& [id, what] : call.state->thread->TakeEvents()) {
    for (const uint32_t number : {id, static_cast<uint32_t>(what)}) {
      napi_value value;
      napi_create_uint32(env, number, &value);
      napi_set_element(env, array, i++, value);
    }
  }
  return array;
}

napi_value Status(napi_env env, napi_callback_info info) {
  const HolderCall call(env, info);
  if (call.state == nullptr) return nullptr;
  const HoldStatus status = call.state->thread->Status();
  return NumbersObject(env, {{"waiting", status.waiting},
                             {"flows", status.flows},
                             {"held", status.held},
                             {"released", status.released},
                             {"cured", status.cured},
                             {"replaced", status.replaced},
                             {"timedOut", status.timed_out},
                             {"crowded", status.crowded},
                             {"passed", status.passed},
                             {"wakes", status.wakes},
                             {"wakeMs", status.wake_ms}});
}

}  // namespace

bool DefineHoldQueue(napi_env env, napi_value exports) {
  return DefineClass(env, exports, Holder::kClass, New,
                     {Getter("queue", QueueGetter<Holder>), Getter("status", Status), Method("update", UpdateMethod<Holder>),
                      Method("takeEvents", TakeEvents), Method("close", CloseMethod<Holder>)});
}

}  // namespace penstock
