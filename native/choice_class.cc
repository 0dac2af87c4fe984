#include "choice_class.h"

#include <memory>
#include <utility>

#include "choice/threads.h"
#include "napi_class.h"

namespace penstock {

namespace {

using choice::ChoiceOptions;
using choice::ChoiceStatus;
using choice::ChoiceThreads;

constexpr int64_t kMostHangMs = 60'000;

struct Choice {
  static constexpr napi_type_tag kTag = {0x3f0d4b7a91c85e62, 0x9b26e1f7d40a835c};
  static constexpr const char* kClass = "ChoiceQueue";
  static constexpr const char* kSubsystem = "nfqueue";

  std::unique_ptr<ChoiceThreads> thread;

  bool IsOpen() const { return thread != nullptr; }
  void End() { thread.reset(); }
};

using ChoiceCall = Call<Choice>;

// new ChoiceQueue({firstQueue, markShift, markMask, watchdog})
napi_value New(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, self, program;
  napi_get_cb_info(env, info, &count, &argument, &self, nullptr);
  int64_t first, shift, mask;
  ChoiceOptions options;
  if (!GetNumber(env, argument, "firstQueue", 0, UINT16_MAX - 16, &first) ||
      !GetNumber(env, argument, "markShift", 0, 31, &shift) || !GetNumber(env, argument, "markMask", 1, UINT32_MAX, &mask) ||
      napi_get_named_property(env, argument, "watchdog", &program) != napi_ok ||
      !GetString(env, program, "watchdog", &options.watchdog)) {
    return nullptr;
  }
  options.first_queue = static_cast<uint16_t>(first);
  options.mark_shift = static_cast<uint32_t>(shift);
  options.mark_mask = static_cast<uint32_t>(mask);
  auto state = std::make_unique<Choice>();
  if (!Catch(env, Choice::kSubsystem, [&] { state->thread = std::make_unique<ChoiceThreads>(options); })) return nullptr;
  return Wrap(env, self, std::move(state));
}

napi_value CellMemory(napi_env env, napi_callback_info info) {
  const ChoiceCall call(env, info);
  if (call.state == nullptr) return nullptr;
  using Keeper = std::shared_ptr<engine::Cells>;
  auto* keeper = new Keeper(call.state->thread->cells());
  const auto finalize = [](napi_env, void*, void* hint) { delete static_cast<Keeper*>(hint); };
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, (*keeper)->memory(), engine::Cells::kBytes, finalize, keeper, &buffer) !=
      napi_ok) {
    delete keeper;
    ThrowTypeError(env, "this Node.js takes no external memory");
  }
  return buffer;
}

napi_value Queues(napi_env env, napi_callback_info info) {
  const ChoiceCall call(env, info);
  napi_value number = nullptr;
  if (call.state != nullptr) napi_create_uint32(env, static_cast<uint32_t>(call.state->thread->queues()), &number);
  return number;
}

napi_value Hang(napi_env env, napi_callback_info info) {
  const ChoiceCall call(env, info);
  int64_t milliseconds;
  if (call.state != nullptr && GetInteger(env, call.arguments[0], "milliseconds", 0, kMostHangMs, &milliseconds))
    call.state->thread->Hang(static_cast<uint32_t>(milliseconds));
  return nullptr;
}

napi_value Status(napi_env env, napi_callback_info info) {
  const ChoiceCall call(env, info);
  if (call.state == nullptr) return nullptr;
  const ChoiceStatus status = call.state->thread->Status();
  return NumbersObject(env, {{"decided", status.decided},
                             {"repeated", status.repeated},
                             {"forgotten", status.forgotten},
                             {"strangers", status.strangers},
                             {"nanoseconds", status.nanoseconds},
                             {"connections", status.connections},
                             {"lost", status.lost},
                             {"recounted", status.recounted},
                             {"timesOpen", status.times_open},
                             {"isWatched", status.is_watched ? uint64_t{1} : uint64_t{0}}});
}

}  // namespace

bool DefineChoiceQueue(napi_env env, napi_value exports) {
  return DefineClass(env, exports, Choice::kClass, New,
                     {Getter("cells", CellMemory), Getter("queue", QueueGetter<Choice>), Getter("queues", Queues),
                      Getter("status", Status), Method("update", UpdateMethod<Choice>), Method("hang", Hang), Method("close", CloseMethod<Choice>)});
}

}  // namespace penstock
