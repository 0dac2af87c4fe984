#include "probe.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#include <cerrno>

#include "sockets.h"

namespace penstock::engine {

namespace {

constexpr uint64_t kPatienceMs = 1000;

}  // namespace

Probe::Probe(Worker& worker, ServicePointer service, uint32_t endpoint_cell)
    : worker_(worker), service_(std::move(service)), endpoint_cell_(endpoint_cell) {
  worker_.AddProbe(this);
}

Probe::~Probe() {
  worker_.RemoveProbe(this);
  worker_.timers().Cancel(this);
  if (fd_ < 0) return;
  CloseWithReset(fd_);
  worker_.shared().ReturnDescriptors(1);
}

void Probe::Start(Worker& worker, const ServicePointer& service, const Endpoint& endpoint) {
  auto* probe = new Probe(worker, service, endpoint.cell);
  // UDP has no handshake: the next datagrams will tell.
  if (service->protocol != IPPROTO_TCP) return probe->End(true);
  if (!worker.shared().TakeDescriptors(1)) return probe->End(false);
  probe->fd_ = OpenSocket(service->family, SOCK_STREAM, worker.shared().mark);
  if (probe->fd_ < 0) {
    worker.shared().ReturnDescriptors(1);
    return probe->End(false);
  }
  const SocketAddress to = ToSocketAddress(endpoint.address);
  if (connect(probe->fd_, &to.any, to.length) == 0) return probe->End(true);
  if (errno != EINPROGRESS || !worker.Watch(probe->fd_, EPOLLOUT | EPOLLET, probe)) return probe->End(false);
  worker.timers().Set(probe, worker.now_ms() + kPatienceMs);
}

void Probe::OnEvents(uint32_t) {
  if (fd_ >= 0) End(PendingError(fd_) == 0);
}

void Probe::OnTimer(uint64_t) { End(false); }

void Probe::End(bool answered) {
  worker_.timers().Cancel(this);
  Shared& shared = worker_.shared();
  shared.health.ProbeEnded(*service_, endpoint_cell_, answered, worker_.now_ms(), worker_.random());
  const auto kind = answered ? Event::Kind::kReturned : Event::Kind::kStillAway;
  shared.Report({kind, service_->cell, endpoint_cell_, Failure::kRefused});
  if (fd_ >= 0) {
    CloseWithReset(fd_);
    shared.ReturnDescriptors(1);
    fd_ = -1;
  }
  worker_.Retire(std::unique_ptr<Source>(this));
}

}  // namespace penstock::engine
