// What waits for JavaScript: of each kind the latest about one address (or peer, or interface), in the order of the latest. So it
// never holds more than there are addresses and peers, however long JavaScript does not come, and drops nothing that still holds.
// What may come with each frame of a stranger wakes JavaScript ten times a second at most.
#ifndef PENSTOCK_ANNOUNCE_EVENT_QUEUE_H_
#define PENSTOCK_ANNOUNCE_EVENT_QUEUE_H_

#include <list>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "address.h"

namespace penstock::announce {

enum class EventKind : uint8_t {
  kClaimed = 1,   // nobody objected: announced and answered from now on
  kYielded = 2,   // `peer` announced it and comes first
  kCeded = 3,     // handed over; `peer` is who was heard, none when the time was up
  kConflict = 4,  // somebody who is no peer has it (`mac`); `value`: 1 the claim has ended
  kAnswered = 5,  // the claim ended: `peer` has it
  kPaused = 6,    // this process did not run for `value` milliseconds; what it owns is probed anew
  kPeerUp = 7,
  kPeerDown = 8,  // `value`: 0 silent, 1 deaf by its own words
  kPeerLeaving = 9,
  kDefended = 10,  // `peer`, which comes after us, announced it
  kSeen = 11,      // while observing: it is at `mac` now (`peer`)
  kLink = 12,      // `value`: 1 the interface has a carrier, 0 it has none
};

struct Event {
  EventKind kind;
  int interface = 0;
  Ip address;
  std::string peer;
  Mac mac = kNoMac;
  int64_t value = 0;
};

class EventQueue {
 public:
  void Append(Event event);
  // In order; nothing waits then.
  std::vector<Event> Take();
  // When JavaScript is to be told, maybe long ago; none: nothing waits, or what waits was told already.
  std::optional<Time> due() const;
  // It is told now.
  void Told(Time now);
  size_t size() const { return events_.size(); }

 private:
  enum Pace : uint8_t { kAtOnce, kOfPeers, kOfFrames, kPaces };
  // A claim that has ended and an owner's conflict are two things; whoever the peer of an address was does not matter any more.
  using Key = std::tuple<EventKind, int, Ip, std::string, int64_t>;

  static Pace PaceOf(EventKind kind);
  static Key KeyOf(const Event& event);

  std::list<Event> events_;
  std::map<Key, std::list<Event>::iterator> at_;
  // Those that came since JavaScript was told.
  bool news_[kPaces] = {};
  Time told_[kPaces] = {INT64_MIN / 2, INT64_MIN / 2, INT64_MIN / 2};
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_EVENT_QUEUE_H_
