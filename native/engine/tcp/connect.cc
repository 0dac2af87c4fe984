// How a connection finds its endpoint: attempts, one after the other, each to another one.
#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "../choose.h"
#include "connection.h"
#include "../keeps_source.h"
#include "../sockets.h"

namespace penstock::engine {

namespace {

// Errors that say something of the endpoint, not of this host.
bool IsEndpointsFault(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EPERM:  // a firewall
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

// Until a connection for which there is no room is reset.
constexpr uint64_t kWaitForShareMs = 10'000;

}  // namespace

void Connection::Start() {
  if (!TakeShare()) return;
  ServiceCell& cell = worker_.shared().cells.service(service_->cell);
  Add(cell.connections, 1);
  Add(cell.active, 1);
  worker_.shared().active.fetch_add(1, std::memory_order_relaxed);
  worker_.shared().health.EarnRetry(*service_, worker_.now_ms());
  if (list().endpoints.empty() && service_->wait_ms != 0) Wait();
  else Begin();
}

void Connection::Begin() {
  if (ReadFirst()) Attempt();
  else Reset();
}

// Until somebody serves. The kernel tells when the client is gone altogether.
void Connection::Wait() {
  state_ = State::kWaiting;
  worker_.shared().waiting.fetch_add(1);
  const uint64_t until = started_ms_ + service_->wait_ms;
  if (until <= worker_.now_ms() || !worker_.Watch(client_.fd, EPOLLET, &client_)) return Reset();
  worker_.timers().Set(this, until);
  worker_.shared().Report({Event::Kind::kWanted, service_->cell, 0, Failure::kRefused});
  // It may have been parked while somebody came.
  LookAgain();
}

void Connection::LookAgain() {
  const Snapshot::Found found = worker_.snapshot().Find(IPPROTO_TCP, destination_);
  if (found.service == nullptr || (*found.service)->cell != service_->cell) return Reset();
  const Service& now = **found.service;
  if (list_ >= now.lists.size() || (now.lists[list_].endpoints.empty() && now.wait_ms == 0)) return Reset();
  if (now.lists[list_].endpoints.empty()) return worker_.AddWaiting(this);
  service_ = *found.service;
  worker_.timers().Cancel(this);
  worker_.Unwatch(client_.fd);
  worker_.shared().waiting.fetch_sub(1);
  state_ = State::kConnecting;
  Begin();
}

// When the service port or the client has enough already, the connection waits, for a while.
bool Connection::TakeShare() {
  Shared& shared = worker_.shared();
  has_share_ = shared.shares.Take(Shares::HolderOf(*service_, client_address_), kDescriptorsEach,
                                  shared.free_descriptors());
  if (has_share_) return true;
  if (shared.MayComplainOf(service_->cell, worker_.now_ms()))
    shared.Report({Event::Kind::kShareUsedUp, service_->cell, 0, Failure::kRefused});
  if (worker_.now_ms() - started_ms_ < kWaitForShareMs && worker_.Park(this)) return false;
  Add(shared.cells.service(service_->cell).failed, 1);
  Reset();
  return false;
}

// What the client has said already. False when it is gone: nobody needs an endpoint.
bool Connection::ReadFirst() {
  uint8_t* const buffer = worker_.buffer();
  size_t length = 0;
  if (service_->proxy_protocol != ProxyProtocol::kNone) {
    const auto header = ProxyHeader(service_->proxy_protocol, client_address_, destination_);
    std::copy(header.begin(), header.end(), buffer);
    length = header.size();
  }
  const size_t room = Worker::kBufferBytes - length;
  const ssize_t got = recv(client_.fd, buffer + length, room, 0);
  if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
  client_.ended = got == 0;
  client_.readable = got == static_cast<ssize_t>(room);
  if (got > 0) length += static_cast<size_t>(got);
  return length == 0 || Keep(up_, buffer, length);
}

// Goes on until an attempt is under way, or all have failed at once.
void Connection::Attempt() {
  for (;;) {
    const uint32_t index =
        as_node_ ? endpoint_index_ : ChooseEndpoint(worker_, service_, list(), client_address_, tried_.get());
    if (index == kNobody) return Reset();
    const Endpoint& endpoint = list().endpoints[index];
    endpoint_index_ = index;
    endpoint_cell_ = endpoint.cell;
    Add(worker_.shared().cells.endpoint(endpoint.cell).active, 1);
    attempts_++;
    if (worker_.snapshot().IsService(IPPROTO_TCP, endpoint)) {
      worker_.shared().Report({Event::Kind::kLoop, service_->cell, endpoint.cell, Failure::kRefused});
      errno = ELOOP;
    } else if (Dial(endpoint)) {
      return;
    }
    AttemptFailed(errno);
    if (!NextMayBeTried()) return Reset();
  }
}

// With source address auto, an endpoint that does not answer to the client's address is asked with the node's.
const Address* Connection::SourceOf(const Endpoint& endpoint) {
  const Address* source = SourceFor(keeps_source_, endpoint, client_address_);
  if (source != nullptr && service_->careful &&
      (as_node_ || worker_.shared().doubts.Apply(client_address_, endpoint.address, worker_.now_ms())))
    source = nullptr;
  as_client_ = source != nullptr;
  return source;
}

// An endpoint has answered: to whose address?
void Connection::LearnSource() {
  if (!service_->careful || !keeps_source_) return;
  Shared& shared = worker_.shared();
  const Address& endpoint = list().endpoints[endpoint_index_].address;
  if (as_client_) shared.doubts.Remove(client_address_, endpoint);
  else if (as_node_ && shared.doubts.Add(client_address_, endpoint, worker_.now_ms()))
    shared.Report({Event::Kind::kNodeAddress, service_->cell, endpoint_cell_, Failure::kTimedOut});
}

// False with errno when it failed at once.
bool Connection::Dial(const Endpoint& endpoint) {
  const FirstData first = up_.is_stuck() ? FirstData::kWaiting : FirstData::kNone;
  const Address* const source = SourceOf(endpoint);
  server_.fd = DialEndpoint(*service_, endpoint, source, first, worker_.shared().mark);
  if (server_.fd < 0) return false;
  // On this node the handshake is over before connect returns: what the client has said goes out at once.
  if (first == FirstData::kWaiting && endpoint.local) {
    const ssize_t sent = Write(server_, up_.pending.get(), up_.pending_end, 0);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) {
      has_spoken_ = true;
      up_.pending_at = static_cast<uint32_t>(sent);
      server_.tells_room = up_.is_stuck();
      if (!up_.is_stuck()) up_.pending.reset();
      if (!worker_.Watch(server_.fd, server_.tells_room ? kWatched | EPOLLOUT : kWatched, &server_)) return false;
      Connected();
      return true;
    }
  }
  server_.tells_room = true;
  if (!worker_.Watch(server_.fd, kWatched | EPOLLOUT, &server_)) return false;
  const size_t last = service_->attempts_ms.size() - 1;
  worker_.timers().Set(this, worker_.now_ms() + service_->attempts_ms[std::min<size_t>(attempts_ - 1u, last)]);
  return true;
}

void Connection::LetGoOfEndpoint() {
  if (endpoint_cell_ == kNobody) return;
  Subtract(worker_.shared().cells.endpoint(endpoint_cell_).active, 1);
  endpoint_cell_ = kNobody;
}

void Connection::AttemptFailed(int error) {
  worker_.timers().Cancel(this);
  if (server_.fd >= 0) {
    CloseWithReset(server_.fd);
    server_.fd = -1;
  }
  server_.tells_room = false;
  if (as_client_ && service_->careful && error == ETIMEDOUT) {
    // That may be the way of the answers, not the endpoint.
    as_client_ = false;
    as_node_ = true;
    return LetGoOfEndpoint();
  }
  as_node_ = false;
  if (!tried_) tried_ = std::make_unique<std::vector<uint32_t>>();
  tried_->push_back(endpoint_index_);
  if (IsEndpointsFault(error)) {
    Shared& shared = worker_.shared();
    const Failure why = error == ETIMEDOUT ? Failure::kTimedOut : Failure::kRefused;
    if (shared.health.Failed(*service_, endpoint_cell_, why, worker_.now_ms(), worker_.random()))
      shared.Report({Event::Kind::kEjected, service_->cell, endpoint_cell_, why});
  }
  LetGoOfEndpoint();
}

bool Connection::NextMayBeTried() {
  Shared& shared = worker_.shared();
  ServiceCell& cell = shared.cells.service(service_->cell);
  if (as_node_) return true;
  if (!has_spoken_ && attempts_ < service_->attempts_ms.size() && shared.health.SpendRetry(*service_)) {
    Add(cell.retries, 1);
    return true;
  }
  Add(cell.failed, 1);
  return false;
}

void Connection::Connected() {
  worker_.timers().Cancel(this);
  state_ = State::kRelaying;
  active_ms_ = worker_.now_ms();
  EndpointCell& cell = worker_.shared().cells.endpoint(endpoint_cell_);
  Add(cell.connections, 1);
  Add(cell.bytes_to, up_.pending_end);  // what was read before there was an endpoint
  worker_.shared().health.Succeeded(endpoint_cell_);
  LearnSource();
  if (service_->affinity_ms != 0)
    worker_.shared().affinity.Remember(worker_.snapshot(), *service_, client_address_,
                                       list().endpoints[endpoint_index_].address, worker_.now_ms());
  tried_.reset();
  server_.writable = client_.writable = true;
  // Tells at once what the client has sent since.
  if (!worker_.Watch(client_.fd, kWatched, &client_)) return Reset();
  ArmIdle();
  Relay();
}

void Connection::OnTimer(uint64_t now_ms) {
  if (state_ == State::kWaiting) {
    Add(worker_.shared().cells.service(service_->cell).failed, 1);
    worker_.shared().Report({Event::Kind::kWaitedInVain, service_->cell, 0, Failure::kTimedOut});
    return Reset();
  }
  if (state_ == State::kConnecting) {
    AttemptFailed(ETIMEDOUT);
    if (NextMayBeTried()) Attempt();
    else Reset();
    return;
  }
  if (state_ == State::kEnding) return WaitForDelivery();
  const bool too_old = service_->lifetime_ms != 0 && now_ms - started_ms_ >= service_->lifetime_ms;
  const bool idle = service_->idle_ms != 0 && now_ms - active_ms_ >= service_->idle_ms;
  if (too_old || idle) Reset();
  else ArmIdle();
}

}  // namespace penstock::engine
