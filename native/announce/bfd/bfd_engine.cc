#include "bfd_engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "../socket_address.h"

namespace penstock::announce {

namespace {

constexpr uint16_t kPort = 3784;
// RFC 5881, 4.
constexpr uint16_t kFirstSource = 49152;
constexpr int kTtl = 255;
constexpr int kTrafficClass = 0xc0;
constexpr int kPacketsAtOnce = 256;
constexpr Micros kLongestSleep = 1'000'000;
// Changes of one session that wait for JavaScript. A peer that goes up and down all the time while nobody listens replaces
// its own last one from then on.
constexpr int kMostUntold = 64;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

Micros Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Micros{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

bool Set(int socket, int level, int option, int value) { return setsockopt(socket, level, option, &value, sizeof value) == 0; }

int Open(bool v6) {
  const int socket = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket >= 0 && v6) Set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  return socket;
}

int OpenReceiver(bool v6) {
  const int socket = Open(v6);
  if (socket < 0) return -1;
  Set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  Set(socket, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
  Ip any;
  any.v6 = v6;
  sockaddr_storage address;
  const socklen_t length = FillAddress(any, kPort, &address);
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0) return socket;
  const int error = errno;
  close(socket);
  errno = error;
  return -1;
}

int OpenSender(const BfdWish& wish) {
  const bool v6 = wish.peer.v6;
  const int socket = Open(v6);
  if (socket < 0) Fail("socket");
  Set(socket, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, kTtl);
  Set(socket, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, kTrafficClass);
  Ip source = wish.source;
  source.v6 = v6;
  // The range begins where routers expect it; the first ports may be taken.
  for (uint32_t port = kFirstSource; port <= 65535; port++) {
    sockaddr_storage address;
    const socklen_t length = FillAddress(source, static_cast<uint16_t>(port), &address);
    if (bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0) return socket;
    if (errno != EADDRINUSE) break;
  }
  const int error = errno;
  close(socket);
  errno = error;
  Fail("bind");
}

int TtlOf(msghdr* message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TTL;
    const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT;
    if (!v4 && !v6) continue;
    int ttl;
    memcpy(&ttl, CMSG_DATA(part), sizeof ttl);
    return ttl;
  }
  return 0;
}

void Add_(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

bool Same(const BfdWish& a, const BfdWish& b) {
  return a.source == b.source && a.least_ttl == b.least_ttl && a.options.transmit_us == b.options.transmit_us &&
         a.options.receive_us == b.options.receive_us && a.options.multiplier == b.options.multiplier &&
         a.options.passive == b.options.passive;
}

}  // namespace

BfdEngine::BfdEngine(std::function<void()> on_changes) : on_changes_(std::move(on_changes)), random_(std::random_device{}()) {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.is_open()) Fail("epoll");
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.is_open()) Fail("eventfd");
  timer_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.is_open()) Fail("timerfd");
  sockets_[0].Reset(OpenReceiver(false));
  if (!sockets_[0].is_open()) Fail("bind the port of BFD");
  // Not every kernel has IPv6.
  sockets_[1].Reset(OpenReceiver(true));
  for (const UniqueFd* each : {&wake_, &timer_, &sockets_[0], &sockets_[1]})
    if (each->is_open()) Add_(epoll_.get(), each->get());
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "bfd");
}

BfdEngine::~BfdEngine() {
  ending_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
  for (auto& [peer, entry] : entries_) End(&entry);
}

void BfdEngine::Add(const BfdWish& wish) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto known = entries_.find(wish.peer);
  if (known != entries_.end() && Same(known->second.wish, wish)) return;
  // Before anything is ended: where it fails, the session that is there goes on.
  UniqueFd socket(OpenSender(wish));
  if (known != entries_.end()) {
    End(&known->second);
    entries_.erase(known);
  }
  // Nobody may guess it, and it is never 0.
  const uint32_t discriminator = std::random_device{}() | 1;
  entries_.emplace(wish.peer, Entry{wish, BfdSession(wish.options, discriminator), std::move(socket)});
  Wake();
}

void BfdEngine::Remove(const Ip& peer) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto known = entries_.find(peer);
  if (known == entries_.end()) return;
  End(&known->second);
  entries_.erase(known);
}

void BfdEngine::End(Entry* entry) {
  if (entry->session.state() != BfdState::kDown) Send(*entry, entry->session.AdminDown());
}

std::vector<BfdChange> BfdEngine::TakeChanges() {
  const std::lock_guard<std::mutex> guard(lock_);
  for (auto& [peer, entry] : entries_) entry.untold = 0;
  return std::exchange(changes_, {});
}

Micros BfdEngine::TakeLateness() {
  const std::lock_guard<std::mutex> guard(lock_);
  return std::exchange(lateness_, 0);
}

void BfdEngine::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void BfdEngine::Loop() {
  epoll_event ready[8];
  while (!ending_) {
    Micros due;
    bool tell;
    {
      const std::lock_guard<std::mutex> guard(lock_);
      due = Step();
      tell = !changes_.empty();
    }
    if (tell) on_changes_();
    ArmTimer(due);
    epoll_wait(epoll_.get(), ready, 8, -1);
    uint64_t count;
    for (const UniqueFd* each : {&wake_, &timer_}) {
      [[maybe_unused]] const ssize_t taken = read(each->get(), &count, sizeof count);
    }
  }
}

// epoll_wait counts milliseconds, which is a tenth of the shortest interval.
void BfdEngine::ArmTimer(Micros due) {
  itimerspec wanted{};
  // A time that is over fires at once; zero would switch the timer off.
  due = std::max<Micros>(due, 1);
  wanted.it_value.tv_sec = static_cast<time_t>(due / 1'000'000);
  wanted.it_value.tv_nsec = static_cast<long>(due % 1'000'000 * 1000);
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &wanted, nullptr);
}

// Answers when there is something to do again.
Micros BfdEngine::Step() {
  const Micros now = Now();
  // What has come in counts before what has not: this thread may be late itself.
  for (const UniqueFd& socket : sockets_)
    if (socket.is_open()) Read(socket.get(), now);
  Micros due = now + kLongestSleep;
  for (auto& [peer, entry] : entries_) {
    const BfdState before = entry.session.state();
    const double random = static_cast<double>(random_() - std::minstd_rand::min()) / (std::minstd_rand::max() - std::minstd_rand::min());
    const Micros wanted = entry.session.NextSend();
    if (const auto packet = entry.session.Advance(now, random)) {
      Send(entry, *packet);
      // The first one is not due at any time.
      if (wanted > 0) lateness_ = std::max(lateness_, Now() - wanted);
    }
    Note(peer, &entry, before);
    due = std::min(due, entry.session.NextDue());
  }
  return due;
}

void BfdEngine::Note(const Ip& peer, Entry* entry, BfdState before) {
  const BfdSession& session = entry->session;
  if (session.state() == before) return;
  const BfdChange change{peer, session.state(), session.diag(), Now()};
  if (entry->untold < kMostUntold) {
    entry->untold++;
    changes_.push_back(change);
    return;
  }
  const auto last = std::find_if(changes_.rbegin(), changes_.rend(), [&](const BfdChange& each) { return each.peer == peer; });
  if (last != changes_.rend()) *last = change;
}

void BfdEngine::Read(int socket, Micros now) {
  for (int i = 0; i < kPacketsAtOnce; i++) {
    uint8_t data[128];
    alignas(cmsghdr) char control[128];
    sockaddr_storage from{};
    iovec part{data, sizeof data};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT);
    if (length < 0) return;
    const auto found = entries_.find(AddressOf(from));
    if (found == entries_.end() || TtlOf(&message) < found->second.wish.least_ttl) continue;
    BfdSession& session = found->second.session;
    const auto packet = ParseBfd(data, static_cast<size_t>(length));
    if (!packet || (packet->yours != 0 && packet->yours != session.discriminator())) continue;
    const BfdState before = session.state();
    if (const auto answer = session.Receive(*packet, now)) Send(found->second, *answer);
    Note(found->first, &found->second, before);
  }
}

void BfdEngine::Send(const Entry& entry, const BfdPacket& packet) {
  const auto bytes = BuildBfd(packet);
  sockaddr_storage to;
  const socklen_t length = FillAddress(entry.wish.peer, kPort, &to);
  sendto(entry.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), length);
}

}  // namespace penstock::announce
