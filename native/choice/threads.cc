#include "threads.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <random>
#include <system_error>

namespace penstock::choice {

namespace {

// Numbers that are tried, from the first.
constexpr size_t kNumbers = 16;
// More threads than that would only wait for each other's decisions.
constexpr size_t kMostQueues = 8;
constexpr uint32_t kQueueLength = 4096;
// How long a thread sleeps where no packet comes: the watchdog waits for 200 ms.
constexpr int kTurnMs = 50;
constexpr int kBusyTurnMs = 1;
// What comes again sooner was no repeat, but sent twice at once.
constexpr Milliseconds kRepeatAfter = 500;
// Batches of packets in a turn: whoever floods the queue keeps the thread from nothing else.
constexpr int kBatchesOfTurn = 16;

// A thread stays with the processors whose packets it gets: there it is woken soonest, and the packet is still in the cache.
void StayWith(pthread_t thread, size_t index, size_t count) {
  cpu_set_t ours, some;
  if (count < 2 || sched_getaffinity(0, sizeof ours, &ours) != 0) return;
  CPU_ZERO(&some);
  for (size_t cpu = index; cpu < CPU_SETSIZE; cpu += count)
    if (CPU_ISSET(cpu, &ours)) CPU_SET(cpu, &some);
  // Where it may use none of them it runs wherever it may.
  if (CPU_COUNT(&some) > 0) pthread_setaffinity_np(thread, sizeof some, &some);
}

// What waits, and what comes until the queue is closed: closing drops what waits.
void LetPass(Queue* queue) {
  queue->Hold(false);
  int count;
  do {
    count = queue->Receive(Waiting::kNot);
    queue->ForEach(count, [&](const QueuedPacket& packet) { queue->Accept(packet.id, packet.mark); });
    queue->Flush();
  } while (count == Queue::most());
}

}  // namespace

ChoiceThreads::ChoiceThreads(const ChoiceOptions& options)
    : options_(options),
      cells_(std::make_shared<engine::Cells>()),
      health_(*cells_),
      connections_(*cells_, services_, &health_),
      random_(std::random_device{}()) {
  BindQueues();
  std::vector<int> sockets;
  for (const auto& worker : workers_) sockets.push_back(worker->queue.socket());
  watchdog_ = std::make_unique<Watchdog>(options.watchdog, sockets, queue());
  Start();
}

ChoiceThreads::~ChoiceThreads() { Stop(); }

// One for each processor, fewer where there are not so many free numbers in a row.
void ChoiceThreads::BindQueues() {
  const size_t most = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMostQueues);
  for (size_t count = most; count > 0; count /= 2)
    for (size_t skipped = 0; skipped + count <= kNumbers; skipped++)
      if (BindQueues(static_cast<uint16_t>(options_.first_queue + skipped), count)) return;
  throw std::system_error(EPERM, std::generic_category(), "all queues are taken");
}

bool ChoiceThreads::BindQueues(uint16_t first, size_t count) {
  workers_.clear();
  try {
    for (size_t i = 0; i < count; i++)
      workers_.push_back(std::make_unique<Worker>(QueueOptions{static_cast<uint16_t>(first + i), 1, kQueueLength, true}));
  } catch (const std::system_error& error) {
    // Rules of an agent that was killed may still lead there.
    for (const auto& worker : workers_) LetPass(&worker->queue);
    workers_.clear();
    if (error.code().value() == EPERM) return false;
    throw;
  }
  return true;
}

void ChoiceThreads::Start() {
  for (size_t i = 0; i < workers_.size(); i++) {
    Worker& worker = *workers_[i];
    worker.beat = &watchdog_->beat(i);
    worker.queue.WaitAtMost(kTurnMs);
  }
  try {
    for (size_t i = 0; i < workers_.size(); i++) {
      Worker& worker = *workers_[i];
      worker.thread = std::thread([this, &worker] { Loop(worker); });
      pthread_setname_np(worker.thread.native_handle(), "choose");
      StayWith(worker.thread.native_handle(), i, workers_.size());
    }
  } catch (...) {
    Stop();
    throw;
  }
}

void ChoiceThreads::Stop() {
  ending_ = true;
  for (const auto& worker : workers_) worker->queue.Wake();
  for (const auto& worker : workers_)
    if (worker->thread.joinable()) worker->thread.join();
}

bool ChoiceThreads::Update(const uint8_t* records, size_t length) {
  const auto guard = lock_.TakeSoon();
  // Connections to endpoints that are new here may be old.
  connections_.Doubt();
  const bool good = services_.Update(records, length);
  services_.TakeDropped([this](uint32_t cell) { health_.Forget(cell); });
  return good;
}

ChoiceStatus ChoiceThreads::Status() {
  const auto guard = lock_.TakeSoon();
  ChoiceStatus status = counts_;
  status.connections = connections_.counted();
  status.lost = connections_.lost();
  status.recounted = connections_.recounted();
  for (const auto& worker : workers_) status.times_open = std::max(status.times_open, worker->beat->times_open.load());
  status.is_watched = watchdog_->IsWatching();
  return status;
}

void ChoiceThreads::Hang(uint32_t milliseconds) {
  for (const auto& worker : workers_) worker->hang_ms = milliseconds;
}

void ChoiceThreads::Loop(Worker& worker) {
  bool more = false;
  while (!ending_) more = Turn(worker, kBatchesOfTurn, Wait(worker, more));
  // From here on packets pass; what waits is decided first.
  worker.queue.Hold(false);
  Turn(worker, std::numeric_limits<int>::max(), worker.queue.Receive(Waiting::kNot));
  worker.queue.Unbind();
}

// How many packets came. To stay awake until the next one was tried and takes longer: whoever sends it wants the same processor.
int ChoiceThreads::Wait(Worker& worker, bool has_more) {
  if (!has_more) return worker.queue.Receive(Waiting::kForOne);
  pollfd waiting{worker.queue.socket(), POLLIN, 0};
  poll(&waiting, 1, kBusyTurnMs);
  return worker.queue.Receive(Waiting::kNot);
}

// Of `count` packets and those that wait behind them. True when there is more to do than packets.
bool ChoiceThreads::Turn(Worker& worker, int most_batches, int count) {
  if (const uint32_t hang = worker.hang_ms.exchange(0)) std::this_thread::sleep_for(std::chrono::milliseconds(hang));
  worker.beat->turned = MonotonicMs();
  // Who ends lets everything pass from here on, and the watchdog may.
  if (worker.beat->is_open.exchange(0) != 0 && !ending_) {
    // What has been read, and what waits to be read, has passed: to choose for it would count what is told of no more. Should one not have
    // passed yet, it does now.
    for (; count > 0; count = worker.queue.Receive(Waiting::kNot)) {
      worker.queue.ForEach(count, [&](const QueuedPacket& packet) {
        worker.queue.Accept(packet.id, packet.mark & ~options_.mark_mask);
      });
      worker.queue.Flush();
    }
    worker.queue.Hold(true);
  }
  for (int batch = 1;; batch++) {
    const bool more = Decide(worker, count);
    worker.queue.Flush();
    worker.beat->turned = MonotonicMs();
    if (count < Queue::most() || batch >= most_batches) return more;
    count = worker.queue.Receive(Waiting::kNot);
  }
}

bool ChoiceThreads::Decide(Worker& worker, int count) {
  // One of them looks after everything where nothing comes.
  const bool is_first = &worker == workers_.front().get();
  if (count <= 0 && !is_first) return false;
  const auto guard = lock_.Take();
  // Not before: whoever had the lock meanwhile has stored later times.
  const Milliseconds now = MonotonicMs();
  if (is_first) watchdog_->Look(now);
  // After the packets have come: what ended before them counts no more.
  const bool more = connections_.Read(now);
  worker.queue.ForEach(count, [&](const QueuedPacket& packet) { Decide(worker, packet, now); });
  return more && is_first;
}

void ChoiceThreads::Decide(Worker& worker, const QueuedPacket& packet, Milliseconds now) {
  const auto begun = std::chrono::steady_clock::now();
  worker.beat->last_id.store(packet.id, std::memory_order_relaxed);
  uint32_t mark = packet.mark & ~options_.mark_mask;
  bool passes = true;
  Flow flow;
  if (ReadPacket(packet.packet.data, packet.packet.size, &flow))
    mark |= uint32_t{NumberFor(flow, now, &passes)} << options_.mark_shift & options_.mark_mask;
  if (passes) worker.queue.Accept(packet.id, mark);
  else worker.queue.Drop(packet.id);
  const auto taken = std::chrono::steady_clock::now() - begun;
  counts_.nanoseconds += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count());
}

// 0: nobody was chosen, the rules draw by lot.
uint16_t ChoiceThreads::NumberFor(const Flow& flow, Milliseconds now, bool* passes) {
  const Found* found = services_.Find({flow.destination, flow.protocol});
  if (found == nullptr) {
    counts_.strangers++;
    return 0;
  }
  Decision* known = connections_.DecisionFor(flow);
  const bool is_same = known != nullptr && known->sequence == flow.sequence;
  if (is_same) return Repeated(flow, known, *found, now, passes);
  if (known != nullptr) connections_.Settle(flow);
  const uint32_t picked = Pick(*found, now);
  if (picked == engine::kNobody) return 0;
  const uint32_t cell = found->list->endpoints.endpoints[picked].cell;
  const uint16_t number = found->list->numbers[picked];
  connections_.Chosen(flow, cell, number, now);
  health_.Picked(cell, now);
  engine::Add(cells_->endpoint(cell).connections, 1);
  counts_.decided++;
  return number;
}

// The first packet came again. Once the kernel has a connection, that keeps its endpoint, whoever is chosen now.
uint16_t ChoiceThreads::Repeated(const Flow& flow, Decision* decision, const Found& found, Milliseconds now, bool* passes) {
  const uint16_t number = decision->number;
  const Milliseconds last = decision->repeated == 0 ? decision->since : decision->repeated;
  if (flow.protocol != IPPROTO_TCP || decision->counts || Since(now, last) < kRepeatAfter) return number;
  counts_.repeated++;
  decision->repeated = now;
  const uint32_t cell = decision->cell;
  health_.Failed(cell, Failure::kSilent, now);
  if (!health_.IsAway(cell, now) || found.list->numbers.size() < 2) return number;
  // The endpoint is silent for others too: this packet is lost, and the next repeat is the first of a new connection.
  connections_.Forget(flow, *decision);
  counts_.forgotten++;
  *passes = false;
  return 0;
}

uint32_t ChoiceThreads::Pick(const Found& found, Milliseconds now) {
  const engine::EndpointList& list = found.list->endpoints;
  eligible_.clear();
  if (!health_.IsQuiet()) {
    eligible_.resize(list.endpoints.size());
    bool any = false;
    for (size_t i = 0; i < eligible_.size(); i++) {
      eligible_[i] = health_.May(list.endpoints[i].cell, now) ? 1 : 0;
      any |= eligible_[i] != 0;
    }
    // Better one that may fail than nobody.
    if (!any) eligible_.clear();
  }
  return engine::PickEndpoint(found.service->algorithm, list, eligible_, *cells_, cursor_, 0, random_);
}

}  // namespace penstock::choice
