#include "thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <random>
#include <system_error>

namespace penstock::choice {

namespace {

constexpr int kQueueTries = 16;
constexpr uint32_t kQueueLength = 4096;
// How long the thread sleeps where no packet comes: the watchdog waits for 200 ms.
constexpr int kTurnMs = 50;
// The thread stays awake for so long after packets, where the last wait was no longer than kSoon, a waking included.
constexpr std::chrono::microseconds kAwake{60};
constexpr std::chrono::microseconds kSoon{120};
// What comes again sooner was no repeat, but sent twice at once.
constexpr Milliseconds kRepeatAfter = 500;
// Batches of packets in a turn: whoever floods the queue keeps the thread from nothing else.
constexpr int kBatchesOfTurn = 16;

}  // namespace

ChoiceThread::ChoiceThread(const ChoiceOptions& options)
    : options_(options),
      cells_(std::make_shared<engine::Cells>()),
      health_(*cells_),
      connections_(*cells_, services_, &health_),
      queue_({options.first_queue, kQueueTries, kQueueLength, true}),
      watchdog_(options.watchdog, queue_.socket(), queue_.number()),
      random_(std::random_device{}()),
      may_stay_awake_(std::thread::hardware_concurrency() > 1) {
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.is_open()) throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "choose");
}

ChoiceThread::~ChoiceThread() {
  ending_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  thread_.join();
}

bool ChoiceThread::Update(const uint8_t* records, size_t length) {
  const auto guard = lock_.Take();
  // Connections to endpoints that are new here may be old.
  connections_.Doubt();
  const bool good = services_.Update(records, length);
  services_.TakeDropped([this](uint32_t cell) { health_.Forget(cell); });
  return good;
}

ChoiceStatus ChoiceThread::Status() {
  const auto guard = lock_.Take();
  ChoiceStatus status = counts_;
  status.connections = connections_.counted();
  status.lost = connections_.lost();
  status.recounted = connections_.recounted();
  status.times_open = watchdog_.beat().times_open;
  status.is_watched = watchdog_.IsWatching();
  return status;
}

void ChoiceThread::Hang(uint32_t milliseconds) { hang_ms_ = milliseconds; }

void ChoiceThread::Loop() {
  while (!ending_) {
    const bool more = Turn(kBatchesOfTurn);
    Wait(more ? 1 : kTurnMs);
  }
  // From here on packets pass; what waits is decided first.
  queue_.Hold(false);
  Turn(std::numeric_limits<int>::max());
  queue_.Unbind();
}

// To be woken takes longer than a connection needs until the next one: where the last packet came soon, this one is looked for awake.
void ChoiceThread::Wait(int most_ms) {
  pollfd waiting[2] = {{queue_.socket(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  const auto begun = std::chrono::steady_clock::now();
  int ready = 0;
  if (came_soon_) {
    while ((ready = poll(waiting, 2, 0)) == 0 && std::chrono::steady_clock::now() - begun < kAwake) sched_yield();
  }
  if (ready == 0) ready = poll(waiting, 2, most_ms);
  came_soon_ = may_stay_awake_ && ready > 0 && std::chrono::steady_clock::now() - begun < kSoon;
}

// True when there is more to do than packets.
bool ChoiceThread::Turn(int most_batches) {
  if (const uint32_t hang = hang_ms_.exchange(0)) std::this_thread::sleep_for(std::chrono::milliseconds(hang));
  const auto guard = lock_.Take();
  const Milliseconds now = MonotonicMs();
  Beat& beat = watchdog_.beat();
  beat.turned = now;
  if (beat.is_open.exchange(0) != 0) queue_.Hold(true);
  watchdog_.Look(now);
  const bool more = connections_.Read(now);
  bool waits = true;
  for (int i = 0; i < most_batches && waits; i++) {
    waits = queue_.Receive([&](const QueuedPacket& packet) { Decide(packet, now); });
    queue_.Flush();
    beat.turned = MonotonicMs();
  }
  return more;
}

void ChoiceThread::Decide(const QueuedPacket& packet, Milliseconds now) {
  const auto begun = std::chrono::steady_clock::now();
  watchdog_.beat().last_id.store(packet.id, std::memory_order_relaxed);
  uint32_t mark = packet.mark & ~options_.mark_mask;
  bool passes = true;
  Flow flow;
  if (ReadPacket(packet.packet.data, packet.packet.size, &flow))
    mark |= uint32_t{NumberFor(flow, now, &passes)} << options_.mark_shift & options_.mark_mask;
  if (passes) queue_.Accept(packet.id, mark);
  else queue_.Drop(packet.id);
  const auto taken = std::chrono::steady_clock::now() - begun;
  counts_.nanoseconds += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count());
}

// 0: nobody was chosen, the rules draw by lot.
uint16_t ChoiceThread::NumberFor(const Flow& flow, Milliseconds now, bool* passes) {
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
uint16_t ChoiceThread::Repeated(const Flow& flow, Decision* decision, const Found& found, Milliseconds now, bool* passes) {
  const uint16_t number = decision->number;
  const Milliseconds last = decision->repeated == 0 ? decision->since : decision->repeated;
  if (flow.protocol != IPPROTO_TCP || decision->counts || now - last < kRepeatAfter) return number;
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

uint32_t ChoiceThread::Pick(const Found& found, Milliseconds now) {
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
