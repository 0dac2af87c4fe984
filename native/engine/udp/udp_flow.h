// The datagrams between a client and the endpoint that serves it, until nobody has sent any for a while.
#ifndef PENSTOCK_ENGINE_UDP_FLOW_H_
#define PENSTOCK_ENGINE_UDP_FLOW_H_

#include "udp_listener.h"

namespace penstock::engine {

class UdpFlow final : public Source, public Timer {
 public:
  // `client` called our `local` address, meaning `destination`. Owns endpoint_fd, which is connected, its descriptor and the
  // share that was taken for it.
  UdpFlow(UdpListener& listener, ServicePointer service, const Endpoint& endpoint, int endpoint_fd,
          const Address& client, const Address& local, const Address& destination);
  ~UdpFlow() override;

  // Datagrams of the client: `count` of the thread's batch from `first` on.
  void Take(DatagramBatch& batch, size_t first, size_t count);
  // Answers, or an ICMP message.
  void OnEvents(uint32_t events) override;
  void OnTimer(uint64_t now_ms) override;

  const Address& client() const { return client_; }
  const Address& local() const { return local_; }
  // Whether the routing table still sends this client's datagrams to where they go.
  bool StillHolds();
  // Whether it ends, although nobody has sent anything that shows it.
  bool IsOver();

 private:
  void Answered();
  void EndpointRefused();

  UdpListener& listener_;
  Worker& worker_;  // outlives the listener
  ServicePointer service_;
  const Address endpoint_;
  const uint32_t endpoint_cell_;
  const int fd_;
  const Address client_;
  const SocketAddress client_socket_address_;
  const Address local_;
  const Address destination_;
  uint64_t generation_;
  uint64_t active_ms_;
  bool waits_ = false;  // the client has said something since the last answer
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_UDP_FLOW_H_
