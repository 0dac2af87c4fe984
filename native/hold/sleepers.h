// The service ports that sleep, and what waits for each.
#ifndef PENSTOCK_HOLD_SLEEPERS_H_
#define PENSTOCK_HOLD_SLEEPERS_H_

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../choice/flow.h"

namespace penstock::hold {

using choice::Flow;
using choice::FlowHash;
using choice::Place;
using choice::PlaceHash;
using Milliseconds = uint64_t;

// Enough of a SYN without data: an IPv6 header and 60 bytes of TCP.
constexpr size_t kCopyBytes = 112;

struct Packet {
  uint32_t id;
  Milliseconds since;
  bool lacks_checksum;
  // Of a SYN, the whole; 0: it goes on as it is.
  uint16_t length;
  uint8_t bytes[kCopyBytes];
};

// What waits of one flow, oldest first.
struct Waiting {
  Flow flow;
  std::vector<Packet> packets;
};

enum class Phase : uint8_t { kAsleep, kWaking, kRefusing };

struct Range {
  uint8_t bytes[16];
  uint8_t bits;
};

struct Key {
  Place place;  // a node port has no address
  bool is_restricted;
};

struct Sleeper {
  uint32_t id;
  uint8_t protocol;
  Milliseconds timeout;
  // Who may use keys that are restricted.
  std::vector<Range> ranges;
  std::vector<Key> keys;

  Phase phase = Phase::kAsleep;
  // Of phase kWaking: since when, and when it was told of last. Of kRefusing: until when.
  Milliseconds since = 0;
  Milliseconds told = 0;
  Milliseconds until = 0;
  // In the order of their first packets.
  std::list<Waiting> waiting;
  uint32_t packets = 0;
};

struct Woken {
  uint32_t id;
  // 0: the service port does not sleep any more, and has nobody: what waits goes on at once.
  uint32_t endpoints;
};

class Sleepers {
 public:
  // Records of src/dataplane/wake/encodeHold.ts. Calls `wake` with each that sleeps no more, before it goes. False when they make no
  // sense; those before the fault are in force.
  template <typename Wake>
  bool Update(const uint8_t* records, size_t length, Wake wake);

  // Who sleeps where a packet goes to, and may be woken by whoever sent it; nullptr for nobody.
  Sleeper* Find(const Flow& flow) const;
  template <typename Visit>
  void ForEach(Visit visit) {
    for (auto& [id, sleeper] : sleepers_) visit(*sleeper);
  }

 private:
  enum class Read { kEnd, kBad, kSet, kRemove };
  struct Record {
    std::unique_ptr<Sleeper> sleeper;
    Woken woken;
  };

  static Read ReadRecord(const uint8_t** at, const uint8_t* end, Record* record);
  void Set(std::unique_ptr<Sleeper> sleeper);
  void RemoveKeys(const Sleeper& sleeper);
  Sleeper* ById(uint32_t id) const;
  void Remove(uint32_t id);

  std::unordered_map<uint32_t, std::unique_ptr<Sleeper>> sleepers_;
  struct Found {
    Sleeper* sleeper;
    bool is_restricted;
  };
  std::unordered_map<Place, Found, PlaceHash> keys_;
};

template <typename Wake>
bool Sleepers::Update(const uint8_t* records, size_t length, Wake wake) {
  const uint8_t* at = records;
  for (;;) {
    Record record;
    switch (ReadRecord(&at, records + length, &record)) {
      case Read::kEnd:
        return true;
      case Read::kBad:
        return false;
      case Read::kSet:
        Set(std::move(record.sleeper));
        break;
      case Read::kRemove:
        if (Sleeper* sleeper = ById(record.woken.id)) wake(*sleeper, record.woken.endpoints);
        Remove(record.woken.id);
    }
  }
}

}  // namespace penstock::hold

#endif  // PENSTOCK_HOLD_SLEEPERS_H_
