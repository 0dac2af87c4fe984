// The thread that answers on the LANs and tells who of the peers is alive. It holds the lock for microseconds; nothing that
// JavaScript does or leaves undone delays an answer.
#ifndef PENSTOCK_ANNOUNCE_RESPONDER_H_
#define PENSTOCK_ANNOUNCE_RESPONDER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../unique_fd.h"
#include "core.h"
#include "heartbeats.h"
#include "link_watch.h"
#include "links.h"
#include "orders.h"

namespace penstock::announce {

struct ResponderOptions {
  std::string self;
  HeartbeatTiming timing;
  // 0: no heartbeats.
  uint16_t port = 0;
  // Called in the thread when there is something for TakeEvents().
  std::function<void()> on_events;
};

struct InterfaceWish {
  int index;
  Ip link_local;
};

struct PeerWish {
  std::string name;
  // Empty: those that its heartbeats name.
  std::vector<Mac> macs;
  // Unspecified: no heartbeats with it.
  Ip address;
};

struct ResponderStatus {
  Counters counters;
  size_t owned;
  uint64_t send_errors;
  bool deaf;
  std::vector<PeerStatus> peers;
  std::map<std::string, uint32_t> heard_of;
};

// Those whose hardware addresses are known.
std::vector<Peer> KnownPeers(const std::vector<PeerWish>& wishes, const Heartbeats& heartbeats);
std::vector<HeartbeatTarget> TargetsOf(const std::vector<PeerWish>& wishes);

// CLOCK_BOOTTIME: it goes on while the machine sleeps.
Time Now();

class Responder : private Surroundings {
 public:
  // Throws std::system_error.
  explicit Responder(ResponderOptions options);
  ~Responder() override;

  // Returns the indexes of interfaces that cannot be used, with errno.
  std::vector<std::pair<int, int>> SetInterfaces(const std::vector<InterfaceWish>& interfaces);
  void SetPeers(const std::vector<PeerWish>& peers);
  void SetFreshUntil(Time until);
  void SetLeaving(bool leaving);
  void SetEndsWithAgent(bool ends);
  void Run(const std::vector<Order>& orders);
  std::vector<Event> TakeEvents();
  ResponderStatus Status();

 private:
  void Send(int interface, const Frame& frame) override;
  void WantedChanged(int interface) override;
  void Loop();
  void Step(Time now);
  void ReadLinks(Time now);
  void ReadFrames(int interface, LinkSockets* link, Time now, bool backlog);
  void ReadHeartbeats(Time now);
  void SendHeartbeats();
  void OpenHeartbeats();
  // With the lock held.
  void After();
  void Wake();

  ResponderOptions options_;
  std::mutex lock_;
  Core core_;
  Heartbeats heartbeats_;
  LinkWatch link_watch_;
  std::map<int, std::unique_ptr<LinkSockets>> links_;
  std::map<int, LinkState> link_states_;
  std::map<int, Ip> link_locals_;
  std::set<int> changed_;
  std::vector<PeerWish> peers_;
  uint64_t send_errors_ = 0;
  UniqueFd heartbeat_sockets_[2];
  UniqueFd epoll_;
  UniqueFd wake_;
  Time awake_until_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_RESPONDER_H_
