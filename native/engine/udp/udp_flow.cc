#include "udp_flow.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../sockets.h"

namespace penstock::engine {

namespace {

// A service port without a time of its own (TypeScript always gives one).
constexpr uint64_t kDefaultIdleMs = 250;
// A question that is not answered yet: a name server may have to ask others first, and its clients wait 5 seconds.
constexpr uint64_t kPatienceMs = 10'000;
// Batches of answers until others must have a turn.
constexpr int kBatches = 4;
constexpr size_t kFew = 16;

}  // namespace

UdpFlow::UdpFlow(UdpListener& listener, ServicePointer service, const Endpoint& endpoint, int endpoint_fd,
                 const Address& client, const Address& local, const Address& destination)
    : listener_(listener),
      worker_(listener.worker()),
      service_(std::move(service)),
      endpoint_(endpoint.address),
      endpoint_cell_(endpoint.cell),
      fd_(endpoint_fd),
      client_(client),
      client_socket_address_(ToSocketAddress(client)),
      local_(local),
      destination_(destination),
      generation_(listener.worker().generation()),
      active_ms_(listener.worker().now_ms()) {
  Shared& shared = worker_.shared();
  Add(shared.cells.service(service_->cell).connections, 1);
  Add(shared.cells.service(service_->cell).active, 1);
  Add(shared.cells.endpoint(endpoint_cell_).connections, 1);
  Add(shared.cells.endpoint(endpoint_cell_).active, 1);
  shared.active.fetch_add(1, std::memory_order_relaxed);
  worker_.Watch(fd_, EPOLLIN, this);
  OnTimer(active_ms_);
}

UdpFlow::~UdpFlow() {
  Shared& shared = worker_.shared();
  worker_.timers().Cancel(this);
  close(fd_);
  shared.ReturnDescriptors(1);
  shared.shares.Return(Shares::HolderOf(*service_, client_), 1);
  Subtract(shared.cells.service(service_->cell).active, 1);
  Subtract(shared.cells.endpoint(endpoint_cell_).active, 1);
  shared.active.fetch_sub(1, std::memory_order_relaxed);
}

bool UdpFlow::StillHolds() {
  if (generation_ == worker_.generation()) return true;
  const Snapshot::Found found = worker_.snapshot().Find(IPPROTO_UDP, destination_);
  if (found.service == nullptr || (*found.service)->cell != service_->cell) return false;
  const Service& service = **found.service;
  const bool serves = std::any_of(service.lists.begin(), service.lists.end(), [this](const EndpointList& list) {
    return std::any_of(list.endpoints.begin(), list.endpoints.end(),
                       [this](const Endpoint& endpoint) { return endpoint.cell == endpoint_cell_; });
  });
  if (!serves) return false;
  service_ = *found.service;
  generation_ = worker_.generation();
  return true;
}

bool UdpFlow::IsOver() {
  if (StillHolds()) return false;
  // An endpoint that only gets no new flows may still answer what it was asked.
  return !waits_ || worker_.snapshot().ByCell(service_->cell) == nullptr;
}

void UdpFlow::Take(DatagramBatch& batch, size_t first, size_t count) {
  active_ms_ = worker_.now_ms();
  waits_ = true;
  size_t bytes = 0;
  for (size_t i = first; i < first + count; i++) bytes += batch.length(i);
  Add(worker_.shared().cells.endpoint(endpoint_cell_).bytes_to, bytes);
  batch.Send(fd_, first, count);
}

void UdpFlow::OnEvents(uint32_t events) {
  if ((events & EPOLLERR) != 0 && PendingError(fd_) == ECONNREFUSED) return EndpointRefused();
  DatagramBatch& batch = DatagramBatch::OfThread();
  // Most answers are one datagram.
  size_t most = kFew;
  for (int i = 0; i < kBatches; i++, most = DatagramBatch::kMost) {
    const int count = batch.Receive(fd_, most);
    if (count < 0 && errno == ECONNREFUSED) return EndpointRefused();
    if (count <= 0) return;
    active_ms_ = worker_.now_ms();
    if (waits_) Answered();
    size_t bytes = 0;
    for (int at = 0; at < count; at++) bytes += batch.length(static_cast<size_t>(at));
    Add(worker_.shared().cells.endpoint(endpoint_cell_).bytes_from, bytes);
    listener_.Answer(client_socket_address_, local_, batch, static_cast<size_t>(count));
    if (static_cast<size_t>(count) < most) return;
  }
}

// Nobody listens there. The client learns it, and its next datagram goes to another endpoint.
void UdpFlow::EndpointRefused() {
  Shared& shared = worker_.shared();
  if (shared.health.Failed(*service_, endpoint_cell_, Failure::kRefused, worker_.now_ms(), worker_.random()))
    shared.Report({Event::Kind::kEjected, service_->cell, endpoint_cell_, Failure::kRefused});
  listener_.Refuse(client_, local_);
  listener_.Remove(this);
}

// The timer may be set to the end of the patience, which is later.
void UdpFlow::Answered() {
  waits_ = false;
  worker_.timers().Cancel(this);
  OnTimer(active_ms_);
}

void UdpFlow::OnTimer(uint64_t now_ms) {
  uint64_t idle = service_->idle_ms == 0 ? kDefaultIdleMs : service_->idle_ms;
  if (waits_) idle = std::max(idle, kPatienceMs);
  if (now_ms - active_ms_ >= idle) listener_.Remove(this);
  else worker_.timers().Set(this, active_ms_ + idle);
}

}  // namespace penstock::engine
