// Accepts redirected TCP connections.
#ifndef PENSTOCK_ENGINE_TCP_LISTENER_H_
#define PENSTOCK_ENGINE_TCP_LISTENER_H_

#include "../worker.h"

namespace penstock::engine {

class TcpListener final : public Listener, public Timer {
 public:
  // Owns socket.fd.
  TcpListener(Worker& worker, const ListeningSocket& socket);
  ~TcpListener() override;

  void OnEvents(uint32_t events) override;
  void OnTimer(uint64_t now_ms) override;
  bool Stop() override { return true; }

 private:
  void Take(int fd, const Address& client);
  // Which Service an accepted connection is for, and where it was sent to.
  Snapshot::Found Find(int fd, Address* destination) const;
  void Pause();

  Worker& worker_;
  const ListeningSocket socket_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_TCP_LISTENER_H_
