// How many connections each endpoint has: a connection counts from the moment it is chosen for until the kernel's table of
// connections closes or forgets it. Connections that nobody chose for count too, as soon as the kernel tells of them.
#ifndef PENSTOCK_CHOICE_CONNECTIONS_H_
#define PENSTOCK_CHOICE_CONNECTIONS_H_

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "../service/cells.h"
#include "flow.h"
#include "health.h"
#include "netlink.h"
#include "services.h"

namespace penstock::choice {

// Who was chosen for a flow of late.
struct Decision {
  uint32_t cell;
  uint16_t number;
  uint32_t id = 0;      // of the connection, once the kernel has told of it
  bool counts = true;   // it does itself: the kernel has not told of the connection yet
  Milliseconds since;
  uint32_t sequence = 0;
  Milliseconds repeated = 0;  // when the first packet came again last
};

class Connections {
 public:
  // Throws std::system_error.
  Connections(const engine::Cells& cells, const Services& services, Health* health);

  // Reads what the kernel has told of since. True when more waits.
  bool Read(Milliseconds now);
  // Soon everything is counted again.
  void Doubt() { in_doubt_ = true; }

  // nullptr when there is none. The pointer is good until the next call.
  Decision* DecisionFor(const Flow& flow);
  void Chosen(const Flow& flow, uint32_t cell, uint16_t number, Milliseconds now);
  // The connection is over: its ports are used for another.
  void Settle(const Flow& flow);
  // The next first packet is chosen for again: the kernel is to forget the connection.
  void Forget(const Flow& flow, const Decision& decision);

  uint64_t counted() const { return known_.size(); }
  uint64_t lost() const { return lost_; }
  uint64_t recounted() const { return recounted_; }

 private:
  struct Known {
    uint32_t cell;
    uint32_t round;
    bool is_told;  // its end will be told: it began while we listened
  };

  enum class Events { kAll, kMore, kLost };
  // An event has some 300 bytes; with labels and a long name of a helper below 1,000.
  static constexpr size_t kEvents = 16;
  static constexpr size_t kEventRoom = 4096;

  Events ReadEvents(Milliseconds now);
  void ReadList(Milliseconds now);
  void Take(const Message& message, bool is_listed, Milliseconds now);
  void Add(uint32_t id, uint32_t cell, bool is_told);
  void Remove(uint32_t id);
  void Settle(std::unordered_map<Flow, Decision, FlowHash>::iterator decision);
  void Expire(Milliseconds now);
  void MaybeList(Milliseconds now);
  void EndList(Milliseconds now);
  void GiveUpList(Milliseconds now);

  const engine::Cells& cells_;
  const Services& services_;
  Health* health_;
  UniqueFd changes_;
  UniqueFd list_;
  Inbox<kEvents, kEventRoom> events_;
  std::unordered_map<uint32_t, Known> known_;
  std::unordered_map<Flow, Decision, FlowHash> decisions_;
  std::deque<std::pair<Milliseconds, Flow>> expiries_;
  std::unordered_set<uint32_t> ended_meanwhile_;
  uint32_t round_ = 0;  // lists that were asked for; the sequence number of the last
  uint64_t untold_ = 0;
  uint64_t lost_ = 0;
  uint64_t recounted_ = 0;
  bool in_doubt_ = true;
  bool is_listing_ = false;
  Milliseconds list_began_ = 0;
  Milliseconds next_list_ = 0;
};

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_CONNECTIONS_H_
