// The thread of all BFD sessions: packets on time, whatever JavaScript does.
#ifndef PENSTOCK_ANNOUNCE_BFD_ENGINE_H_
#define PENSTOCK_ANNOUNCE_BFD_ENGINE_H_

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "../../unique_fd.h"
#include "../address.h"
#include "bfd_session.h"

namespace penstock::announce {

struct BfdWish {
  Ip peer;
  // Unspecified: the kernel chooses.
  Ip source;
  BfdOptions options;
  // Of what comes in.
  uint8_t least_ttl = 255;
};

struct BfdChange {
  Ip peer;
  BfdState state;
  BfdDiag diag;
  Micros at;  // CLOCK_MONOTONIC
};

class BfdEngine {
 public:
  // Throws std::system_error.
  explicit BfdEngine(std::function<void()> on_changes);
  // Tells the other sides that no failure is meant.
  ~BfdEngine();

  // Throws std::system_error. A peer that is known keeps its session unless the wish differs.
  void Add(const BfdWish& wish);
  void Remove(const Ip& peer);
  std::vector<BfdChange> TakeChanges();
  // How much later than due the latest packet was sent since the last call: whether a session that goes down elsewhere does
  // so for our sake.
  Micros TakeLateness();

 private:
  struct Entry {
    BfdWish wish;
    BfdSession session;
    UniqueFd socket;
    int untold = 0;  // changes that wait
  };

  void Loop();
  Micros Step();
  void Read(int socket, Micros now);
  void Send(const Entry& entry, const BfdPacket& packet);
  void End(Entry* entry);
  void Wake();
  void ArmTimer(Micros due);
  void Note(const Ip& peer, Entry* entry, BfdState before);

  std::function<void()> on_changes_;
  std::mutex lock_;
  std::map<Ip, Entry> entries_;
  std::vector<BfdChange> changes_;
  std::minstd_rand random_;
  Micros lateness_ = 0;
  UniqueFd sockets_[2];
  UniqueFd epoll_;
  UniqueFd wake_;
  UniqueFd timer_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_BFD_ENGINE_H_
