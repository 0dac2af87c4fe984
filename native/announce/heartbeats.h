// Who of the peers is alive, told by datagrams that each sends to each. They only shorten the wait for a Lease to run out: a
// peer that was never heard may sit behind a firewall and is not called dead. Pure: no sockets, no clock.
#ifndef PENSTOCK_ANNOUNCE_HEARTBEATS_H_
#define PENSTOCK_ANNOUNCE_HEARTBEATS_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "address.h"
#include "event_queue.h"

namespace penstock::announce {

struct HeartbeatTarget {
  std::string name;
  Ip address;
};

struct HeartbeatTiming {
  Time every = 200;
  int lost = 5;
};

enum class PeerState : uint8_t { kUnknown, kAlive, kDead, kLeaving };

struct PeerStatus {
  std::string name;
  PeerState state;
  Time silent_for;
  // Of this node's announcements, how many the peer says that it heard.
  uint32_t heard_ours;
  // What is led to it passes through its process, and ends with it.
  bool ends_with_agent;
  std::vector<Mac> macs;
};

class Heartbeats {
 public:
  Heartbeats(std::string self, HeartbeatTiming timing, Time now)
      : self_(std::move(self)), timing_(timing), next_(now) {}

  void SetPeers(const std::vector<HeartbeatTarget>& peers);
  void SetLeaving(bool leaving) { leaving_ = leaving; }
  void SetEndsWithAgent(bool ends) { ends_with_agent_ = ends; }

  // What comes from another address than the peer's own is not from the peer.
  void OnDatagram(const Ip& from, const uint8_t* data, size_t length, Time now, EventQueue* events);
  // Looks who has fallen silent. True when it is time to send.
  bool Tick(Time now, EventQueue* events);
  // This process did not run: the silence was its own.
  void OnPause(Time now);
  Time next() const { return next_; }

  // The same for all peers; `macs` are those of this node, and how many announcements were heard of each peer.
  std::vector<uint8_t> Datagram(const std::vector<Mac>& macs, const std::map<std::string, uint32_t>& heard_of) const;
  // By its own words; empty when it was never heard.
  std::vector<Mac> MacsOf(const std::string& peer) const;
  // Whether MacsOf() has changed since the last call.
  bool TakeMacsChanged() { return std::exchange(macs_changed_, false); }
  std::vector<Ip> Destinations() const;
  // Several peers were heard before and now nobody is.
  bool deaf() const { return deaf_; }
  std::vector<PeerStatus> Status(Time now) const;

 private:
  struct Known {
    Ip address;
    PeerState state = PeerState::kUnknown;
    Time heard = 0;
    // It was heard at all.
    bool met = false;
    // Since when it should have been heard; none: not looked yet.
    std::optional<Time> awaited;
    uint32_t heard_ours = 0;
    bool ends_with_agent = false;
    std::vector<Mac> macs;
  };

  std::string self_;
  HeartbeatTiming timing_;
  Time next_;
  bool leaving_ = false;
  bool ends_with_agent_ = false;
  bool deaf_ = false;
  bool macs_changed_ = false;
  std::map<std::string, Known> peers_;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_HEARTBEATS_H_
