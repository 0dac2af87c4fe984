// What an established connection does: bytes from one side to the other, ends passed on, both ways.
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "connection.h"
#include "../sockets.h"

namespace penstock::engine {

namespace {

// Rounds of a connection until others must have a turn: full pipes are up to 8 MB.
constexpr uint8_t kTurns = 8;
constexpr ssize_t kSmall = 16 * 1024;
// How long the last bytes may take without any progress before the reset that follows them.
constexpr uint64_t kDeliveryMs = 5'000;
constexpr uint64_t kLongestLookMs = 250;

}  // namespace

Connection::Connection(Worker& worker, ServicePointer service, uint8_t list, int client_fd,
                       const Address& client, const Address& destination, bool keeps_source)
    : worker_(worker),
      service_(std::move(service)),
      list_(list),
      client_address_(client),
      destination_(destination),
      client_(this),
      server_(this),
      started_ms_(worker.now_ms()),
      active_ms_(started_ms_),
      keeps_source_(keeps_source) {
  client_.fd = client_fd;
  up_.from = down_.to = &client_;
  up_.to = down_.from = &server_;
}

Connection::~Connection() { worker_.timers().Cancel(this); }

void Connection::OnEvents(Peer& peer, uint32_t events) {
  if (state_ == State::kClosed || peer.fd < 0) return;
  // A client that has said its last word may still want to hear the answer.
  if (state_ == State::kWaiting) return (events & (EPOLLERR | EPOLLHUP)) != 0 ? Reset() : void();
  if (state_ == State::kConnecting) {
    // Only the endpoint's descriptor is watched as yet.
    const int error = (events & EPOLLERR) != 0 ? PendingError(peer.fd) : 0;
    if (error == 0 && (events & EPOLLOUT) != 0) {
      server_.readable = (events & (EPOLLIN | EPOLLRDHUP)) != 0;
      server_.ending = (events & EPOLLRDHUP) != 0;
      server_.urgent = (events & EPOLLPRI) != 0;
      return Connected();
    }
    if (error == 0 && (events & EPOLLHUP) == 0) return;
    AttemptFailed(error == 0 ? ECONNREFUSED : error);
    if (NextMayBeTried()) return Attempt();
    return Reset();
  }
  if ((events & EPOLLERR) != 0) peer.broken = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer.readable = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer.ending = true;
  if ((events & EPOLLPRI) != 0) peer.urgent = true;
  if ((events & EPOLLOUT) != 0) peer.writable = true;
  Relay();
}

void Connection::Continue() {
  waits_again_ = false;
  if (state_ == State::kRelaying || state_ == State::kEnding) Relay();
}

void Connection::Relay() {
  turns_left_ = kTurns;
  Pump(up_);
  Pump(down_);
  if (client_.broken || server_.broken) return PassOnReset();
  if (up_.finished && down_.finished) return Close();
  if (turns_left_ == 0 && !waits_again_) {
    waits_again_ = true;
    worker_.Again(this);
  }
}

// As far as it goes now. Whoever turns out to be broken is marked so.
void Connection::Pump(Direction& direction) {
  Peer& from = *direction.from;
  Peer& to = *direction.to;
  while (!direction.finished) {
    if (!to.broken && direction.is_stuck()) Flush(direction);
    if (to.broken) return Discard(direction);
    if (direction.is_stuck()) return;
    if (from.ended) {
      worker_.pipes().Return(&direction.pipe);
      direction.finished = true;
      // A reset follows, not an end. When both directions are over, close says it as well.
      const Direction& other = &direction == &up_ ? down_ : up_;
      if (!from.broken && !other.finished && shutdown(to.fd, SHUT_WR) != 0 && errno != ENOTCONN) to.broken = true;
      return;
    }
    if (!from.readable) break;
    if (turns_left_ == 0) return;
    turns_left_--;
    if (direction.bulk) FillPipe(direction);
    else Copy(direction);
  }
  worker_.pipes().Return(&direction.pipe);
}

// Nobody is there to take it.
void Connection::Discard(Direction& direction) {
  direction.pending.reset();
  direction.pending_at = direction.pending_end = 0;
  if (direction.in_pipe > 0) worker_.pipes().Close(&direction.pipe);
  else worker_.pipes().Return(&direction.pipe);
  direction.in_pipe = 0;
  direction.finished = true;
}

// One side is broken. What it sent before belongs to the other, which then learns of the reset: in that order, for a reset
// throws away what the kernel has not sent yet.
void Connection::PassOnReset() {
  if (client_.broken && server_.broken) return Reset();
  Peer& broken = client_.broken ? client_ : server_;
  Direction& rest = client_.broken ? up_ : down_;
  if (state_ != State::kEnding) {
    state_ = State::kEnding;
    active_ms_ = worker_.now_ms();
    // A write may have found it out; what can be read was not looked at then.
    broken.readable = broken.ending = true;
    Discard(client_.broken ? down_ : up_);
    Pump(rest);
  }
  if (rest.to->broken) return Reset();
  if (!rest.finished && turns_left_ == 0 && !waits_again_) {
    waits_again_ = true;
    worker_.Again(this);
  }
  WaitForDelivery();
}

// Resets once the kernel has no more to send, or nobody takes it.
void Connection::WaitForDelivery() {
  const Direction& rest = client_.broken ? up_ : down_;
  int queued = 0;
  if (ioctl(rest.to->fd, SIOCOUTQ, &queued) != 0) return Reset();
  if (rest.finished && queued == 0) return Reset();
  const uint32_t left = static_cast<uint32_t>(queued) + rest.pending_end - rest.pending_at + rest.in_pipe;
  if (left != undelivered_) active_ms_ = worker_.now_ms();
  undelivered_ = left;
  if (worker_.now_ms() - active_ms_ >= kDeliveryMs) return Reset();
  const uint64_t pause = std::min<uint64_t>(TimerWheel::kTickMs << std::min<uint8_t>(looks_, 5), kLongestLookMs);
  if (looks_ < UINT8_MAX) looks_++;
  worker_.timers().Set(this, worker_.now_ms() + pause);
}

// Reads once and writes it at once.
void Connection::Copy(Direction& direction) {
  Peer& from = *direction.from;
  uint8_t* const buffer = worker_.buffer();
  const ssize_t got = recv(from.fd, buffer, Worker::kBufferBytes, 0);
  if (got <= 0) return ReadEnded(from, got);
  Count(direction, static_cast<size_t>(got));
  // Less than there was room for: it is all, and epoll tells when more comes. An end that came before is not told again.
  if (static_cast<size_t>(got) < Worker::kBufferBytes && !from.ending) from.readable = false;
  direction.bulk = static_cast<size_t>(got) == Worker::kBufferBytes;
  // After an end there comes nothing but the end, which shares a packet with what was sent last.
  const bool is_last = from.ending && !from.broken && static_cast<size_t>(got) < Worker::kBufferBytes;
  // It need not be read again to be told so.
  if (is_last && !from.urgent) from.ended = true;
  const int flags = is_last ? MSG_MORE : 0;
  const ssize_t sent = Write(*direction.to, buffer, static_cast<size_t>(got), flags);
  if (sent == got) return;
  if (sent >= 0) errno = EAGAIN;
  NeedRoom(*direction.to);
  if (direction.to->broken) return;
  const size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
  // Without memory for it the stream has a gap: neither side may take it for whole.
  if (!Keep(direction, buffer + done, static_cast<size_t>(got) - done)) client_.broken = server_.broken = true;
}

// `got` of a read that brought nothing, with errno.
void Connection::ReadEnded(Peer& from, ssize_t got) {
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    from.readable = false;
    return;
  }
  from.ended = true;
  if (got < 0) from.broken = true;
}

void Connection::FillPipe(Direction& direction) {
  if (!direction.pipe.is_open()) direction.pipe = worker_.pipes().Take();
  if (!direction.pipe.is_open()) return Copy(direction);
  // The pipe is empty here, so it is the socket that has nothing when there is nothing.
  const ssize_t got = splice(direction.from->fd, nullptr, direction.pipe.write, nullptr, PipePool::kMostBytes,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got <= 0) return ReadEnded(*direction.from, got);
  // Small messages are cheaper to copy.
  direction.bulk = got >= kSmall;
  direction.in_pipe += static_cast<uint32_t>(got);
  Count(direction, static_cast<size_t>(got));
  Flush(direction);
}

// Nagle's algorithm holds back only what follows unacknowledged data, so the first write does not need the option.
ssize_t Connection::Write(Peer& to, const uint8_t* data, size_t length, int flags) {
  if (to.writes < 2 && ++to.writes == 2) Settle();
  return send(to.fd, data, length, MSG_NOSIGNAL | flags);
}

void Connection::Settle() {
  if (settled_ || server_.fd < 0) return;
  settled_ = true;
  SetNoDelay(server_.fd);
  SetKeepAlive(server_.fd);
}

// Writes what waits.
void Connection::Flush(Direction& direction) {
  Peer& to = *direction.to;
  if (!to.writable) return;
  while (direction.pending_at < direction.pending_end) {
    const ssize_t sent =
        Write(to, direction.pending.get() + direction.pending_at, direction.pending_end - direction.pending_at, 0);
    if (sent < 0) return NeedRoom(to);
    direction.pending_at += static_cast<uint32_t>(sent);
  }
  if (direction.pending_end > 0) {
    direction.pending.reset();
    direction.pending_at = direction.pending_end = 0;
  }
  while (direction.in_pipe > 0) {
    const ssize_t sent = splice(direction.pipe.read, nullptr, to.fd, nullptr, direction.in_pipe,
                                SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent < 0) return NeedRoom(to);
    if (sent == 0) {
      to.broken = true;
      return;
    }
    direction.in_pipe -= static_cast<uint32_t>(sent);
  }
}

bool Connection::Keep(Direction& direction, const uint8_t* data, size_t length) {
  direction.pending.reset(new (std::nothrow) uint8_t[length]);
  if (!direction.pending) return false;
  memcpy(direction.pending.get(), data, length);
  direction.pending_at = 0;
  direction.pending_end = static_cast<uint32_t>(length);
  return true;
}

// After a write that took nothing, or not all, with errno.
void Connection::NeedRoom(Peer& peer) {
  if (errno != EAGAIN && errno != EINTR) {
    peer.broken = true;
    return;
  }
  peer.writable = false;
  if (peer.tells_room) return;
  peer.tells_room = true;
  // Edge triggered: if there is room again already, this tells it.
  worker_.Rewatch(peer.fd, kWatched | EPOLLOUT, &peer);
}

void Connection::Count(const Direction& direction, size_t bytes) {
  active_ms_ = worker_.now_ms();
  EndpointCell& cell = worker_.shared().cells.endpoint(endpoint_cell_);
  Add(&direction == &up_ ? cell.bytes_to : cell.bytes_from, bytes);
}

void Connection::ArmIdle() {
  uint64_t due = UINT64_MAX;
  if (service_->idle_ms != 0) due = active_ms_ + service_->idle_ms;
  if (service_->lifetime_ms != 0) due = std::min(due, started_ms_ + service_->lifetime_ms);
  if (due != UINT64_MAX) worker_.timers().Set(this, due);
}

// Both sides learn that something was wrong.
void Connection::Reset() {
  if (state_ == State::kClosed) return;
  const linger now{1, 0};
  setsockopt(client_.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (server_.fd >= 0) setsockopt(server_.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  Close();
}

void Connection::Close() {
  const bool was_waiting = state_ == State::kWaiting;
  state_ = State::kClosed;
  worker_.timers().Cancel(this);
  // What is in a pipe cannot be given to the next.
  Discard(up_);
  Discard(down_);
  close(client_.fd);
  client_.fd = -1;
  if (server_.fd >= 0) close(server_.fd);
  server_.fd = -1;
  Shared& shared = worker_.shared();
  shared.ReturnDescriptors(kDescriptorsEach);
  LetGoOfEndpoint();
  if (was_waiting) shared.waiting.fetch_sub(1);
  if (has_share_) {
    shared.shares.Return(Shares::HolderOf(*service_, client_address_), kDescriptorsEach);
    Subtract(shared.cells.service(service_->cell).active, 1);
    shared.active.fetch_sub(1, std::memory_order_relaxed);
  }
  if (waits_again_ || !has_share_ || was_waiting) worker_.Forget(this);
  worker_.Release(this);
}

}  // namespace penstock::engine
