// Who answers for which address on which interface, as a machine without sockets, threads or clock: frames, commands and
// times go in, frames and events come out. The wire is the fence: whoever hears a node that may have the address, yields.
// The thread (responder.cc) runs it, and so do the tests and the simulation (AnnounceModel).
#ifndef PENSTOCK_ANNOUNCE_CORE_H_
#define PENSTOCK_ANNOUNCE_CORE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "address.h"
#include "event_queue.h"
#include "frames.h"

namespace penstock::announce {

struct Interface {
  int index = 0;
  Mac mac = kNoMac;
  bool up = false;
  // For neighbour advertisements; unspecified: none.
  Ip link_local;
};

struct Peer {
  std::string name;
  std::vector<Mac> macs;
};

struct Counters {
  uint64_t requests[2] = {};  // IPv4, IPv6
  uint64_t answers[2] = {};
  uint64_t announcements = 0;
  uint64_t probes = 0;
  uint64_t conflicts = 0;
  uint64_t yields = 0;
};

// What the machine asks of its surroundings.
class Surroundings {
 public:
  virtual ~Surroundings() = default;
  virtual void Send(int interface, const Frame& frame) = 0;
  // The frames that are to come in have changed; Wanted() says which.
  virtual void WantedChanged(int interface) = 0;
};

class Core {
 public:
  enum class State : uint8_t { kObserving, kProbing, kOwning, kCeding };
  enum class GiveWay : uint8_t { kToNobody, kToFirst, kToAll };
  struct Claim {
    // Which peers end the claim when they answer the probes. Otherwise it is announced all the same, and who comes first on
    // the wire keeps it.
    GiveWay give_way = GiveWay::kToAll;
    int probes = 1;
    Time interval = 100;
  };
  // The last four bytes of addresses.
  struct Wanted {
    std::set<uint32_t> answer_v4, answer_v6, hear_v4, hear_v6;
    std::vector<Ip> groups;  // IPv6 addresses whose solicited-node group is joined
  };

  Core(std::string self, Surroundings* surroundings) : self_(std::move(self)), out_(surroundings) {}

  void SetInterfaces(const std::vector<Interface>& interfaces, Time now);
  void SetPeers(const std::vector<Peer>& peers);
  // Until then nobody may believe that this node is gone.
  void SetFreshUntil(Time until) { fresh_until_ = until; }
  // Nobody is heard: what is announced now could only spoil caches.
  void SetDeaf(bool deaf) { deaf_ = deaf; }

  void Observe(int interface, const Ip& address);
  void BeginClaim(int interface, const Ip& address, const Claim& claim, Time now);
  // Answers on until a peer announces it, at most until `now` + `within`.
  void Cede(int interface, const Ip& address, Time within, Time now);
  // Stops at once; observed on.
  void Release(int interface, const Ip& address);
  void Forget(int interface, const Ip& address);
  void Announce(int interface, const Ip& address, Time now);

  // `backlog`: it has waited too long to be answered.
  void OnFrame(int interface, const uint8_t* data, size_t length, Time now, bool backlog = false);
  void OnLink(int interface, bool up, const std::optional<Mac>& mac, Time now);
  void OnPause(Time paused, Time now);
  // Does what is due.
  void Advance(Time now);
  std::optional<Time> NextDue() const;

  EventQueue* events() { return &events_; }
  Wanted WantedOf(int interface) const;
  std::optional<State> StateOf(int interface, const Ip& address) const;
  const Counters& counters() const { return counters_; }
  size_t owned() const;
  std::vector<Mac> macs() const;
  // Announcements heard of each peer.
  const std::map<std::string, uint32_t>& heard_of() const { return heard_of_; }

 private:
  using Key = std::pair<int, Ip>;
  struct Entry {
    State state = State::kObserving;
    Claim claim;
    int probes_left = 0;
    int repeats_left = 0;
    std::optional<Time> due;
    Time deadline = 0;  // of kCeding
    Time defended = INT64_MIN / 2;
    Time conflict_told = INT64_MIN / 2;
    Mac seen = kNoMac;
  };

  Interface* FindInterface(int index);
  bool ComesFirst(const std::string& peer, const Ip& address) const;
  // Of a frame's sender; strangers do not.
  bool GoesBefore(const Mac& sender, const Ip& address) const;
  void Heard_(const Key& key, Entry* entry, const Mac& mac, Time now);
  void ProbedBy(const Key& key, Entry* entry, const Heard& heard, Time now);
  void Reply(const Key& key, const Heard& heard, bool backlog);
  void SetDue(const Key& key, Entry* entry, std::optional<Time> due);
  void SetState(const Key& key, Entry* entry, State state);
  void SendAnnouncement(const Key& key);
  void StartProbing(const Key& key, Entry* entry, Claim claim, Time now);
  void StepOf(const Key& key, Entry* entry, Time now);
  void Emit(EventKind kind, const Key& key, const std::string& peer, const Mac& mac, int64_t value = 0);
  void Conflict(const Key& key, Entry* entry, const Mac& mac, Time now);

  std::string self_;
  Surroundings* out_;
  std::map<int, Interface> interfaces_;
  std::map<Mac, std::string> peer_of_;
  std::map<Key, Entry> entries_;
  std::set<std::pair<Time, Key>> schedule_;
  std::map<std::string, uint32_t> heard_of_;
  EventQueue events_;
  Counters counters_;
  Time fresh_until_ = INT64_MAX;
  bool deaf_ = false;
};

// Of rendezvous hashing; higher comes first. As in src/balancer/layer2/rendezvous.ts.
std::pair<uint32_t, uint32_t> RendezvousScore(const std::string& node, const Ip& address);

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_CORE_H_
