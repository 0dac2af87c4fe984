// Endpoints that refuse or stay silent get no new connections for a while; then one tries, and decides whether more follow.
#ifndef PENSTOCK_CHOICE_HEALTH_H_
#define PENSTOCK_CHOICE_HEALTH_H_

#include <cstdint>
#include <unordered_map>

#include "../service/cells.h"

namespace penstock::choice {

using Milliseconds = uint64_t;

enum class Failure { kRefused, kSilent };

class Health {
 public:
  explicit Health(const engine::Cells& cells) : cells_(cells) {}

  // No endpoint is suspected: every one may be picked.
  bool IsQuiet() const { return suspects_.empty(); }
  bool IsAway(uint32_t cell, Milliseconds now) const;
  bool May(uint32_t cell, Milliseconds now);
  // It was picked, maybe to try whether it is well again.
  void Picked(uint32_t cell, Milliseconds now);
  void Failed(uint32_t cell, Failure failure, Milliseconds now);
  // A connection of it was answered.
  void Answered(uint32_t cell);
  void Forget(uint32_t cell);

 private:
  struct Suspect {
    uint32_t failures = 0;  // in a row
    uint32_t level = 0;     // how often it was sent away in a row
    Milliseconds last = 0;
    Milliseconds until = 0;  // 0: it is not away
    Milliseconds tried = 0;  // 0: nobody tries
  };

  void Return(uint32_t cell);

  const engine::Cells& cells_;
  std::unordered_map<uint32_t, Suspect> suspects_;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_HEALTH_H_
