#include "udp_listener.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "../choose.h"
#include "../keeps_source.h"
#include "port_unreachable.h"
#include "../sockets.h"
#include "udp_flow.h"

namespace penstock::engine {

namespace {

// Batches until others must have a turn.
constexpr int kBatches = 4;

}  // namespace

UdpListener::UdpListener(Worker& worker, const ListeningSocket& socket)
    : worker_(worker), socket_(socket), icmp_(OpenIcmpSocket(socket.family)) {}

UdpListener::~UdpListener() {
  flows_.clear();
  worker_.Unwatch(socket_.fd);
  close(socket_.fd);
  if (icmp_ >= 0) close(icmp_);
}

void UdpListener::OnEvents(uint32_t) {
  DatagramBatch& batch = DatagramBatch::OfThread();
  for (int round = 0; round < kBatches; round++) {
    const int received = batch.Receive(socket_.fd, DatagramBatch::kMost);
    if (received <= 0) return;
    const size_t count = static_cast<size_t>(received);
    // Datagrams of one client that follow each other are sent together.
    for (size_t first = 0; first < count;) {
      const Address client = ToAddress(&batch.source(first).any);
      size_t end = first + 1;
      while (end < count && ToAddress(&batch.source(end).any) == client) end++;
      Address local = batch.LocalAddress(first);
      local.port = socket_.port;
      if (UdpFlow* flow = FlowOf(client, local)) flow->Take(batch, first, end - first);
      first = end;
    }
    if (count < DatagramBatch::kMost) return;
  }
}

UdpFlow* UdpListener::FlowOf(const Address& client, const Address& local) {
  const auto found = flows_.find(client);
  if (found != flows_.end()) {
    UdpFlow* flow = found->second.get();
    if (flow->local() == local && flow->StillHolds()) return flow;
    Remove(flow);
  }
  return NewFlow(client, local);
}

UdpFlow* UdpListener::NewFlow(const Address& client, const Address& local) {
  Shared& shared = worker_.shared();
  Address destination;
  Snapshot::Found found;
  if (tracking_.Find(IPPROTO_UDP, client, local, &destination) && destination.port != socket_.port)
    found = worker_.snapshot().Find(IPPROTO_UDP, destination);
  if (found.service == nullptr) {
    Add(shared.unknown, 1);
    return nullptr;
  }
  const ServicePointer& service = *found.service;
  const uint8_t index = found.kind == KeyKind::kInternal ? service->internal_list
                        : socket_.side == Side::kInside  ? service->inside_list
                                                         : service->outside_list;
  const EndpointList& list = service->lists[index];
  const uint32_t chosen = Choose(service, list, client);
  if (chosen == kNobody) {
    Refuse(client, local);
    return nullptr;
  }
  // Without a descriptor the datagram is lost; the client sends it again.
  if (!shared.TakeDescriptors(1)) return nullptr;
  const Shares::Holder holder = Shares::HolderOf(*service, client);
  if (!shared.shares.Take(holder, 1, shared.free_descriptors())) {
    shared.ReturnDescriptors(1);
    if (shared.MayComplainOf(service->cell, worker_.now_ms()))
      shared.Report({Event::Kind::kShareUsedUp, service->cell, 0, Failure::kRefused});
    return nullptr;
  }
  const Endpoint& endpoint = list.endpoints[chosen];
  const bool keeps_source = KeepsSource(*service, found.kind, socket_.side, client);
  const Address* source = SourceFor(keeps_source, endpoint, client);
  // Datagrams are not answered by all: whether answers come back shows nobody.
  if (source != nullptr && service->careful &&
      (shared.doubts.Apply(client, endpoint.address, worker_.now_ms()) ||
       worker_.links().AreNeighbours(client, endpoint.address, worker_.now_ms())))
    source = nullptr;
  const int fd = DialEndpoint(*service, endpoint, source, FirstData::kNone, shared.mark);
  if (fd < 0) {
    shared.ReturnDescriptors(1);
    shared.shares.Return(holder, 1);
    return nullptr;
  }
  if (service->affinity_ms != 0)
    shared.affinity.Remember(worker_.snapshot(), *service, client, endpoint.address, worker_.now_ms());
  auto flow = std::make_unique<UdpFlow>(*this, service, endpoint, fd, client, local, destination);
  UdpFlow* raw = flow.get();
  flows_.emplace(client, std::move(flow));
  return raw;
}

uint32_t UdpListener::Choose(const ServicePointer& service, const EndpointList& list, const Address& client) {
  std::vector<uint32_t> tried;
  while (tried.size() < list.endpoints.size()) {
    const uint32_t chosen = ChooseEndpoint(worker_, service, list, client, tried.empty() ? nullptr : &tried);
    if (chosen == kNobody || !worker_.snapshot().IsService(IPPROTO_UDP, list.endpoints[chosen])) return chosen;
    worker_.shared().Report({Event::Kind::kLoop, service->cell, list.endpoints[chosen].cell, Failure::kRefused});
    tried.push_back(chosen);
  }
  return kNobody;
}

void UdpListener::Sweep() {
  std::vector<UdpFlow*> over;
  for (const auto& [client, flow] : flows_)
    if (flow->IsOver()) over.push_back(flow.get());
  for (UdpFlow* flow : over) Remove(flow);
}

void UdpListener::Answer(const SocketAddress& client, const Address& local, DatagramBatch& batch, size_t count) {
  batch.SendTo(socket_.fd, count, client, local);
}

void UdpListener::Refuse(const Address& client, const Address& local) {
  SendPortUnreachable(icmp_, client, local);
}

void UdpListener::Remove(UdpFlow* flow) {
  const auto found = flows_.find(flow->client());
  if (found == flows_.end() || found->second.get() != flow) return;
  // Events of this round may still name it.
  std::unique_ptr<Source> retired = std::move(found->second);
  flows_.erase(found);
  worker_.timers().Cancel(flow);
  worker_.Retire(std::move(retired));
}

}  // namespace penstock::engine
