#include "worker.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "tcp/connection.h"
#include "probe.h"
#include "tcp/tcp_listener.h"
#include "udp/udp_listener.h"

namespace penstock::engine {

namespace {

// How often connections are looked at that have not lived up to a second write yet.
constexpr uint64_t kSettleMs = 60'000;
// How soon after a change what is gone is looked for.
constexpr uint64_t kSweepMs = 1'000;
// Between two looks at whether there is room for those who wait.
constexpr uint64_t kParkMs = 20;

}  // namespace

uint64_t Worker::ReadClock() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

Worker::Worker(Shared& shared, uint32_t seed)
    : shared_(shared),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      now_ms_(ReadClock()),
      timers_(now_ms_),
      pipes_(shared),
      random_(seed),
      buffer_(new uint8_t[kBufferBytes]),
      settled_ms_(now_ms_),
      swept_ms_(now_ms_) {
  if (!epoll_.is_open() || !wake_.is_open()) throw std::system_error(errno, std::generic_category(), "epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  snapshot_ = shared_.Current(&generation_);
}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  Post([this] { stopping_ = true; });
  thread_.join();
}

void Worker::Post(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(tasks_mutex_);
    tasks_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  // It fails only when it is signalled 2^64 times already.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Worker::RunTasks() {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard<std::mutex> lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task();
}

int Worker::SleepMs() const {
  if (!waiting_.empty() && shared_.generation() != generation_) return 0;
  const int sleep = timers_.SleepMs(now_ms_);
  if (swept_generation_ != shared_.generation()) {
    const uint64_t due = swept_ms_ + kSweepMs;
    const int until = due <= now_ms_ ? 0 : static_cast<int>(due - now_ms_);
    return sleep < 0 ? until : std::min(sleep, until);
  }
  // An idle thread without connections has nothing to settle.
  if (first_ == nullptr) return sleep;
  return sleep < 0 ? static_cast<int>(kSettleMs) : sleep;
}

void Worker::Run() {
  // Unlike send, splice has no flag that spares the process a signal when the other side is gone. Node ignores it, but it is
  // not for us to rely on that.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  constexpr int kEvents = 256;
  epoll_event events[kEvents];
  while (!stopping_) {
    const int sleep = again_.empty() ? SleepMs() : 0;
    const int count = epoll_wait(epoll_.get(), events, kEvents, sleep);
    now_ms_ = ReadClock();
    if (shared_.generation() != generation_) TakeUp();
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == nullptr) RunTasks();
      else static_cast<Source*>(events[i].data.ptr)->OnEvents(events[i].events);
    }
    for (Connection* connection : accepted_) connection->Start();
    accepted_.clear();
    std::vector<Connection*> again;
    again.swap(again_);
    for (Connection* connection : again)
      if (connection != nullptr) connection->Continue();
    timers_.Turn(now_ms_);
    if (now_ms_ - settled_ms_ > kSettleMs) SettleOld();
    if (now_ms_ - swept_ms_ >= kSweepMs && (swept_generation_ != generation_ || shared_.DescriptorsAreScarce())) Sweep();
    retired_.clear();
  }
  while (first_ != nullptr) first_->Reset();
  listeners_.clear();
  again_.clear();
  retired_.clear();
  // Each takes itself from the set.
  while (!probes_.empty()) delete *probes_.begin();
}

// Connections that wait for their first answer must notice too when the endpoint vanishes.
void Worker::SettleOld() {
  settled_ms_ = now_ms_;
  for (Connection* connection = first_; connection != nullptr; connection = connection->next_) connection->Settle();
}

bool Worker::Watch(int fd, uint32_t events, Source* source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = source;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Worker::Unwatch(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Worker::Rewatch(int fd, uint32_t events, Source* source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = source;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Worker::Retire(std::unique_ptr<Source> source) { retired_.push_back(std::move(source)); }

bool Worker::Park(Connection* connection) {
  // All threads together a sixteenth of all descriptors.
  const size_t most = static_cast<size_t>(shared_.descriptor_limit()) / (16 * kDescriptorsEach);
  if (parked_.size() >= std::max<size_t>(most, 1)) return false;
  parked_.push_back(connection);
  if (!park_timer_.is_set()) timers_.Set(&park_timer_, now_ms_ + kParkMs);
  return true;
}

void Worker::Unpark() {
  std::vector<Connection*> parked;
  parked.swap(parked_);
  for (Connection* connection : parked)
    if (connection != nullptr) connection->Start();
}

// What the service ports are by now. Whoever has waited for one comes first.
void Worker::TakeUp() {
  snapshot_ = shared_.Current(&generation_);
  std::vector<Connection*> waiting;
  waiting.swap(waiting_);
  for (Connection* connection : waiting) connection->LookAgain();
}

// After changes, and not at each of them: what is for service ports that are gone must not hold descriptors that others
// need. UDP flows end; TCP connections go on, as with the kernel modes, while there is room.
void Worker::Sweep() {
  swept_ms_ = now_ms_;
  swept_generation_ = generation_;
  for (auto& listener : listeners_) listener->Sweep();
  if (!shared_.DescriptorsAreScarce()) return;
  for (Connection* connection = first_; connection != nullptr;) {
    Connection* next = connection->next_;
    if (snapshot_->ByCell(connection->service().cell) == nullptr) connection->Reset();
    connection = next;
  }
}

void Worker::Forget(Connection* connection) {
  std::replace(again_.begin(), again_.end(), connection, static_cast<Connection*>(nullptr));
  std::replace(parked_.begin(), parked_.end(), connection, static_cast<Connection*>(nullptr));
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), connection), waiting_.end());
}

namespace {

// A connection as something that can be retired: events of this round may still name its peers.
class RetiredConnection final : public Source {
 public:
  explicit RetiredConnection(Connection* connection) : connection_(connection) {}
  void OnEvents(uint32_t) override {}

 private:
  std::unique_ptr<Connection> connection_;
};

}  // namespace

void Worker::Accepted(std::unique_ptr<Connection> connection) {
  Connection* raw = connection.release();
  raw->next_ = first_;
  if (first_ != nullptr) first_->previous_ = raw;
  first_ = raw;
  accepted_.push_back(raw);
}

void Worker::Release(Connection* connection) {
  if (connection->previous_ != nullptr) connection->previous_->next_ = connection->next_;
  else first_ = connection->next_;
  if (connection->next_ != nullptr) connection->next_->previous_ = connection->previous_;
  retired_.push_back(std::make_unique<RetiredConnection>(connection));
}

bool Worker::Listen(const ListeningSocket& socket) {
  std::unique_ptr<Listener> listener;
  if (socket.protocol == IPPROTO_TCP) listener = std::make_unique<TcpListener>(*this, socket);
  else listener = std::make_unique<UdpListener>(*this, socket);
  if (!Watch(socket.fd, EPOLLIN, listener.get())) return false;
  listeners_.push_back(std::move(listener));
  return true;
}

void Worker::StopListening() {
  std::vector<std::unique_ptr<Listener>> needed;
  for (auto& listener : listeners_) {
    if (listener->Stop()) Retire(std::move(listener));
    else needed.push_back(std::move(listener));
  }
  listeners_ = std::move(needed);
}

void Worker::ResetEndpoint(uint32_t endpoint_cell) {
  for (Connection* connection = first_; connection != nullptr;) {
    Connection* next = connection->next_;
    if (connection->Uses(endpoint_cell)) connection->Reset();
    connection = next;
  }
}

void Worker::StartProbes(const ServicePointer& service, const EndpointList& list) {
  for (const Endpoint& endpoint : list.endpoints) {
    if (!shared_.health.TakeProbe(endpoint.cell, now_ms_)) continue;
    Probe::Start(*this, service, endpoint);
  }
}

}  // namespace penstock::engine
