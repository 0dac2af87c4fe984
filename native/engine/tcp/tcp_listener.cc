#include "tcp_listener.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "connection.h"
#include "../keeps_source.h"
#include "../original_destination.h"
#include "../sockets.h"

namespace penstock::engine {

namespace {

// Others of the thread must have a turn.
constexpr int kAtOnce = 64;
// Until connections are accepted again after the descriptors were used up; the others wait in the kernel's queue.
constexpr uint64_t kPauseMs = 20;

}  // namespace

TcpListener::TcpListener(Worker& worker, const ListeningSocket& socket) : worker_(worker), socket_(socket) {}

TcpListener::~TcpListener() {
  worker_.timers().Cancel(this);
  worker_.Unwatch(socket_.fd);
  close(socket_.fd);
}

void TcpListener::OnEvents(uint32_t) {
  Shared& shared = worker_.shared();
  for (int i = 0; i < kAtOnce; i++) {
    if (!shared.TakeDescriptors(kDescriptorsEach)) return Pause();
    SocketAddress client;
    client.length = sizeof client.v6;
    const int fd = accept4(socket_.fd, &client.any, &client.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Take(fd, ToAddress(&client.any));
      continue;
    }
    shared.ReturnDescriptors(kDescriptorsEach);
    if (errno == EAGAIN) return;
    // Others of the process or the host used up what we counted on.
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return Pause();
    // Anything else is the fault of that one connection: accept(2) wants these treated like EAGAIN.
  }
}

void TcpListener::Take(int fd, const Address& client) {
  Shared& shared = worker_.shared();
  Address destination;
  const Snapshot::Found found = Find(fd, &destination);
  if (found.service == nullptr) {
    Add(shared.unknown, 1);
    CloseWithReset(fd);
    shared.ReturnDescriptors(kDescriptorsEach);
    return;
  }
  const ServicePointer& service = *found.service;
  const uint8_t list = found.kind == KeyKind::kInternal ? service->internal_list
                       : socket_.side == Side::kInside  ? service->inside_list
                                                        : service->outside_list;
  const bool keeps_source = KeepsSource(*service, found.kind, socket_.side, client);
  worker_.Accepted(std::make_unique<Connection>(worker_, service, list, fd, client, destination, keeps_source));
}

// Who calls the port itself means nobody.
Snapshot::Found TcpListener::Find(int fd, Address* destination) const {
  if (socket_.side != Side::kUntranslated) {
    if (!OriginalDestination(fd, socket_.family, destination) || destination->port == socket_.port) return {};
    return worker_.snapshot().Find(IPPROTO_TCP, *destination);
  }
  *destination = OwnAddress(fd);
  const Snapshot::Found found = worker_.snapshot().Find(IPPROTO_TCP, *destination);
  return found.kind == KeyKind::kInternal ? found : Snapshot::Found{};
}

void TcpListener::Pause() {
  if (worker_.shared().MayComplain(worker_.now_ms()))
    worker_.shared().Report({Event::Kind::kOutOfDescriptors, 0, 0, Failure::kRefused});
  worker_.Rewatch(socket_.fd, 0, this);
  worker_.timers().Set(this, worker_.now_ms() + kPauseMs);
}

void TcpListener::OnTimer(uint64_t) { worker_.Rewatch(socket_.fd, EPOLLIN, this); }

}  // namespace penstock::engine
