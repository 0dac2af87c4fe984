#include "responder.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "socket_address.h"

namespace penstock::announce {

namespace {

// Frames of one socket in one turn, so that a flood on one LAN leaves time for the others.
constexpr int kFramesAtOnce = 256;
// More than the queue of a socket holds.
constexpr int kBacklog = 65536;
constexpr size_t kLongestFrame = 2048;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

void Add(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int OpenUdp(int family, uint16_t port) {
  const int socket = ::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  const int on = 1;
  // The successor of this process hears instead of it.
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  Ip any;
  any.v6 = family == AF_INET6;
  sockaddr_storage address;
  const socklen_t length = FillAddress(any, port, &address);
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0) return socket;
  const int error = errno;
  close(socket);
  errno = error;
  return -1;
}

}  // namespace

std::vector<Peer> KnownPeers(const std::vector<PeerWish>& wishes, const Heartbeats& heartbeats) {
  std::vector<Peer> known;
  for (const PeerWish& wish : wishes) known.push_back({wish.name, wish.macs.empty() ? heartbeats.MacsOf(wish.name) : wish.macs});
  return known;
}

std::vector<HeartbeatTarget> TargetsOf(const std::vector<PeerWish>& wishes) {
  std::vector<HeartbeatTarget> targets;
  for (const PeerWish& wish : wishes)
    if (!wish.address.IsUnspecified()) targets.push_back({wish.name, wish.address});
  return targets;
}

Time Now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return Time{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

Responder::Responder(ResponderOptions options)
    : options_(std::move(options)), core_(options_.self, this), heartbeats_(options_.self, options_.timing, Now()) {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.is_open()) Fail("epoll");
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.is_open()) Fail("eventfd");
  if (options_.port != 0) OpenHeartbeats();
  Add(epoll_.get(), wake_.get());
  Add(epoll_.get(), link_watch_.socket());
  awake_until_ = Now() + options_.timing.every;
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "announce");
}

Responder::~Responder() {
  ending_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
}

void Responder::OpenHeartbeats() {
  heartbeat_sockets_[0].Reset(OpenUdp(AF_INET, options_.port));
  if (!heartbeat_sockets_[0].is_open()) Fail("bind the heartbeat port");
  // Not every kernel has IPv6.
  heartbeat_sockets_[1].Reset(OpenUdp(AF_INET6, options_.port));
  for (const UniqueFd& socket : heartbeat_sockets_)
    if (socket.is_open()) Add(epoll_.get(), socket.get());
}

std::vector<std::pair<int, int>> Responder::SetInterfaces(const std::vector<InterfaceWish>& interfaces) {
  const std::lock_guard<std::mutex> guard(lock_);
  std::vector<std::pair<int, int>> failed;
  std::map<int, std::unique_ptr<LinkSockets>> next;
  std::vector<Interface> known;
  link_locals_.clear();
  bool opened = false;
  for (const InterfaceWish& wish : interfaces) {
    auto& link = next[wish.index];
    const auto old = links_.find(wish.index);
    if (old != links_.end()) {
      link = std::move(old->second);
    } else {
      try {
        link = std::make_unique<LinkSockets>(wish.index);
      } catch (const std::system_error& error) {
        failed.emplace_back(wish.index, error.code().value());
        next.erase(wish.index);
        continue;
      }
      for (const int socket : link->sockets()) Add(epoll_.get(), socket);
      opened = true;
    }
    const auto state = link_states_.find(wish.index);
    const bool told = state != link_states_.end() && !state->second.gone;
    known.push_back({wish.index, told ? state->second.mac : kNoMac, told && state->second.up, wish.link_local});
  }
  links_ = std::move(next);
  core_.SetInterfaces(known, Now());
  if (opened) link_watch_.AskAll();
  After();
  return failed;
}

void Responder::SetPeers(const std::vector<PeerWish>& peers) {
  const std::lock_guard<std::mutex> guard(lock_);
  peers_ = peers;
  heartbeats_.SetPeers(TargetsOf(peers));
  core_.SetPeers(KnownPeers(peers, heartbeats_));
}

void Responder::SetFreshUntil(Time until) {
  const std::lock_guard<std::mutex> guard(lock_);
  core_.SetFreshUntil(until);
}

void Responder::SetLeaving(bool leaving) {
  const std::lock_guard<std::mutex> guard(lock_);
  heartbeats_.SetLeaving(leaving);
  SendHeartbeats();
}

void Responder::SetEndsWithAgent(bool ends) {
  const std::lock_guard<std::mutex> guard(lock_);
  heartbeats_.SetEndsWithAgent(ends);
}

void Responder::Run(const std::vector<Order>& orders) {
  const std::lock_guard<std::mutex> guard(lock_);
  RunOrders(&core_, orders, Now());
  After();
}

std::vector<Event> Responder::TakeEvents() {
  const std::lock_guard<std::mutex> guard(lock_);
  return core_.events()->Take();
}

ResponderStatus Responder::Status() {
  const std::lock_guard<std::mutex> guard(lock_);
  return {core_.counters(), core_.owned(), send_errors_, heartbeats_.deaf(), heartbeats_.Status(Now()), core_.heard_of()};
}

void Responder::Send(int interface, const Frame& frame) {
  const auto link = links_.find(interface);
  if (link == links_.end()) return;
  if (changed_.erase(interface) != 0) link->second->SetWanted(core_.WantedOf(interface));
  if (!link->second->Send(frame)) send_errors_++;
}

void Responder::WantedChanged(int interface) { changed_.insert(interface); }

void Responder::After() {
  for (const int interface : std::exchange(changed_, {})) {
    const auto link = links_.find(interface);
    if (link != links_.end()) link->second->SetWanted(core_.WantedOf(interface));
  }
  Wake();
}

void Responder::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Responder::Loop() {
  epoll_event ready[64];
  while (!ending_) {
    Time due;
    {
      const std::lock_guard<std::mutex> guard(lock_);
      const Time now = Now();
      due = std::min(now + options_.timing.every, std::max(now, heartbeats_.next()));
      for (const auto& next : {core_.NextDue(), core_.events()->due()})
        if (next) due = std::min(due, std::max(now, *next));
      awake_until_ = due;
    }
    epoll_wait(epoll_.get(), ready, 64, static_cast<int>(std::max<Time>(0, due - Now())));
    uint64_t count;
    [[maybe_unused]] const ssize_t taken = read(wake_.get(), &count, sizeof count);
    bool tell;
    {
      const std::lock_guard<std::mutex> guard(lock_);
      const Time now = Now();
      Step(now);
      const auto waits = core_.events()->due();
      tell = waits && *waits <= now;
      if (tell) core_.events()->Told(now);
    }
    if (tell) options_.on_events();
  }
}

// Everything that came in is looked at; who was not ready costs one system call.
void Responder::Step(Time now) {
  const Time late = now - awake_until_;
  const bool paused = late > options_.timing.every * options_.timing.lost;
  ReadLinks(now);
  // Before the frames: they say whose those are.
  ReadHeartbeats(now);
  if (heartbeats_.TakeMacsChanged()) core_.SetPeers(KnownPeers(peers_, heartbeats_));
  for (auto& [interface, link] : links_) ReadFrames(interface, link.get(), now, paused);
  if (paused) {
    heartbeats_.OnPause(now);
    core_.OnPause(late, now);
  }
  if (heartbeats_.Tick(now, core_.events())) SendHeartbeats();
  core_.SetDeaf(heartbeats_.deaf());
  core_.Advance(now);
  for (const int interface : std::exchange(changed_, {})) {
    const auto link = links_.find(interface);
    if (link != links_.end()) link->second->SetWanted(core_.WantedOf(interface));
  }
}

void Responder::ReadLinks(Time now) {
  link_watch_.Read([&](const LinkState& state) {
    if (state.gone) link_states_.erase(state.interface);
    else link_states_[state.interface] = state;
    const auto link = links_.find(state.interface);
    if (link == links_.end()) return;
    if (state.up) link->second->RetryGroups();
    core_.OnLink(state.interface, state.up && !state.gone, state.gone ? std::nullopt : std::optional(state.mac), now);
  });
}

void Responder::ReadFrames(int interface, LinkSockets* link, Time now, bool backlog) {
  uint8_t frame[kLongestFrame];
  for (const int socket : link->sockets()) {
    // After a pause all that waited is old, however much it is.
    for (int i = 0; i < (backlog ? kBacklog : kFramesAtOnce); i++) {
      const ssize_t length = recv(socket, frame, sizeof frame, MSG_DONTWAIT);
      if (length < 0 && errno == EINTR) continue;
      // ENETDOWN is told once when the interface goes down.
      if (length < 0 && errno == ENETDOWN) continue;
      if (length <= 0) break;
      core_.OnFrame(interface, frame, static_cast<size_t>(length), now, backlog);
    }
  }
}

void Responder::ReadHeartbeats(Time now) {
  uint8_t data[1500];
  for (const UniqueFd& each : heartbeat_sockets_) {
    const int socket = each.get();
    if (socket < 0) continue;
    for (int i = 0; i < kFramesAtOnce; i++) {
      sockaddr_storage from{};
      socklen_t from_length = sizeof from;
      const ssize_t length = recvfrom(socket, data, sizeof data, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &from_length);
      if (length < 0) break;
      heartbeats_.OnDatagram(AddressOf(from), data, static_cast<size_t>(length), now, core_.events());
    }
  }
}

void Responder::SendHeartbeats() {
  if (options_.port == 0) return;
  const auto datagram = heartbeats_.Datagram(core_.macs(), core_.heard_of());
  for (const Ip& to : heartbeats_.Destinations()) {
    sockaddr_storage address;
    const socklen_t length = FillAddress(to, options_.port, &address);
    const int socket = heartbeat_sockets_[to.v6 ? 1 : 0].get();
    if (socket >= 0) sendto(socket, datagram.data(), datagram.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), length);
  }
}

}  // namespace penstock::announce
