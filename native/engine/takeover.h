// How a new process inherits the listening sockets of the old, so that an upgrade loses no connection: over a Unix
// socket in a folder of root, whose name says the network namespace, as the ports belong to one. The new one proves that it may
// do what the old one may (CAP_NET_ADMIN), and says when it listens; only then the old one stops.
#ifndef PENSTOCK_ENGINE_TAKEOVER_H_
#define PENSTOCK_ENGINE_TAKEOVER_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../unique_fd.h"
#include "worker.h"

namespace penstock::engine {

// The side of the old process.
class TakeoverServer {
 public:
  // `taken` runs once, in another thread, when a new process listens. Throws std::system_error when somebody has the path,
  // or others may write to its folder.
  TakeoverServer(const std::string& path, std::vector<ListeningSocket> sockets, std::function<void()> taken);
  ~TakeoverServer();
  TakeoverServer(const TakeoverServer&) = delete;
  TakeoverServer& operator=(const TakeoverServer&) = delete;

 private:
  int Listen() const;
  // Whether somebody listens at the path already.
  bool IsAnswered() const;
  void Withdraw();
  void Run();
  // True when the other has confirmed.
  bool HandOver(int peer);

  const std::string path_;
  std::vector<ListeningSocket> sockets_;
  std::function<void()> taken_;
  UniqueFd fd_;
  UniqueFd stop_;
  std::thread thread_;
};

// The side of the new process.
class Takeover {
 public:
  // Asks who has the path. Without anybody, or with somebody who is not to be trusted or does not answer as he should,
  // there are no sockets.
  explicit Takeover(const std::string& path);
  ~Takeover();
  Takeover(const Takeover&) = delete;
  Takeover& operator=(const Takeover&) = delete;

  std::vector<ListeningSocket> TakeSockets() { return std::move(sockets_); }
  // The old process stops to accept.
  void Confirm();

 private:
  int fd_ = -1;
  std::vector<ListeningSocket> sockets_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_TAKEOVER_H_
