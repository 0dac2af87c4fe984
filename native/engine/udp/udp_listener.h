// Receives redirected datagrams and gives each to its flow.
#ifndef PENSTOCK_ENGINE_UDP_LISTENER_H_
#define PENSTOCK_ENGINE_UDP_LISTENER_H_

#include <memory>
#include <unordered_map>

#include "datagrams.h"
#include "../original_destination.h"
#include "../worker.h"

namespace penstock::engine {

class UdpFlow;

class UdpListener final : public Listener {
 public:
  // Owns socket.fd.
  UdpListener(Worker& worker, const ListeningSocket& socket);
  ~UdpListener() override;

  void OnEvents(uint32_t events) override;
  // Answers still go out through the socket.
  bool Stop() override {
    worker_.Unwatch(socket_.fd);
    return flows_.empty();
  }

  void Sweep() override;

  // For the flows.
  Worker& worker() { return worker_; }
  const ListeningSocket& socket() const { return socket_; }
  // From our `local` address to the client.
  void Answer(const SocketAddress& client, const Address& local, DatagramBatch& batch, size_t count);
  // Tells the client with ICMP that nobody is there.
  void Refuse(const Address& client, const Address& local);
  void Remove(UdpFlow* flow);

 private:
  struct HashAddress {
    size_t operator()(const Address& address) const { return HashOf(address); }
  };

  UdpFlow* FlowOf(const Address& client, const Address& local);
  // Index into the list; kNobody when nobody may serve.
  uint32_t Choose(const ServicePointer& service, const EndpointList& list, const Address& client);
  UdpFlow* NewFlow(const Address& client, const Address& local);

  Worker& worker_;
  const ListeningSocket socket_;
  ConnectionTracking tracking_;
  int icmp_ = -1;
  // A client has one local address at a time: the kernel's NAT keeps apart what would clash.
  std::unordered_map<Address, std::unique_ptr<UdpFlow>, HashAddress> flows_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_UDP_LISTENER_H_
