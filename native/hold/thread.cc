#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>
#include <utility>

#include "../choice/beat.h"
#include "tcp.h"

namespace penstock::hold {

namespace {

using choice::MonotonicMs;
using choice::Since;

constexpr int kQueueTries = 16;
// Packets that wait in the kernel: those that are held, and those that nobody has looked at yet.
constexpr uint32_t kQueueLength = 8192;
constexpr uint32_t kMostPackets = 4096;
constexpr uint32_t kMostPacketsOfOne = 1024;
constexpr uint32_t kMostUdpFlowsOfOne = 64;
constexpr size_t kMostDatagrams = 3;
// Connections that an endpoint gets at once, and every second after that.
constexpr double kPace = 100;
// A service port that is waited for is told of so often.
constexpr Milliseconds kTellAgain = 10'000;
// One that did not wake in time refuses for so long, before another packet waits for it.
constexpr Milliseconds kRefuse = 10'000;
constexpr int kTurnMs = 50;
constexpr int kPacedTurnMs = 5;
// Where more come than find room, they gather for so long: to be woken for each takes longer than to drop it.
constexpr std::chrono::milliseconds kGather{2};
// Batches of packets in a turn: whoever floods the queue keeps the thread from nothing else.
constexpr int kBatchesOfTurn = 16;

}  // namespace

HoldThread::HoldThread(HoldOptions options)
    : options_(std::move(options)), queue_({options_.first_queue, kQueueTries, kQueueLength, false}) {
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.is_open()) throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "hold");
}

HoldThread::~HoldThread() {
  ending_ = true;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  thread_.join();
}

bool HoldThread::Update(const uint8_t* records, size_t length) {
  const auto guard = lock_.TakeSoon();
  const Milliseconds now = MonotonicMs();
  const bool good = sleepers_.Update(
      records, length, [&](Sleeper& sleeper, uint32_t endpoints) { Wake(sleeper, endpoints, now); });
  // Somebody may have got another timeout.
  look_for_late_ = now;
  LetGo(now);
  queue_.Flush();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
  return good;
}

std::vector<Event> HoldThread::TakeEvents() {
  const auto guard = lock_.TakeSoon();
  return std::exchange(events_, {});
}

HoldStatus HoldThread::Status() {
  const auto guard = lock_.TakeSoon();
  HoldStatus status = counts_;
  status.flows = flows_.size();
  return status;
}

void HoldThread::Loop() {
  while (!ending_) {
    is_crowded_ = false;
    const bool paces = Turn();
    if (is_crowded_) std::this_thread::sleep_for(kGather);
    pollfd waiting[2] = {{queue_.socket(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    poll(waiting, 2, paces ? kPacedTurnMs : kTurnMs);
    if (waiting[1].revents == 0) continue;
    uint64_t drained;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &drained, sizeof drained);
  }
  queue_.Unbind();
}

bool HoldThread::Turn() {
  bool has_events;
  {
    const auto guard = lock_.Take();
    const Milliseconds now = MonotonicMs();
    LetGo(now);
    GiveUpLate(now);
    queue_.Flush();
    bool waits = true;
    for (int i = 0; i < kBatchesOfTurn && waits; i++) {
      waits = queue_.Receive([&](const choice::QueuedPacket& packet) { Take(packet, now); });
      queue_.Flush();
    }
    has_events = !events_.empty();
  }
  if (has_events) options_.on_events();
  return !going_.empty();
}

void HoldThread::Take(const choice::QueuedPacket& packet, Milliseconds now) {
  Flow flow;
  const auto [data, size] = packet.packet;
  const bool is_known = choice::ReadPacket(data, size, &flow) &&
                        (flow.protocol == IPPROTO_UDP || (flow.protocol == IPPROTO_TCP && IsSyn(data, size, flow.transport)));
  Sleeper* sleeper = is_known ? sleepers_.Find(flow) : nullptr;
  if (sleeper != nullptr && sleeper->phase == Phase::kRefusing && now >= sleeper->until) sleeper->phase = Phase::kAsleep;
  if (sleeper == nullptr || sleeper->phase == Phase::kRefusing) {
    // The rules behind know what becomes of it.
    counts_.passed++;
    queue_.Release(packet.id, {});
  } else if (Hold(sleeper, flow, packet, now)) {
    Tell(sleeper, now);
  } else {
    // TCP sends it again, and finds room or somebody awake.
    counts_.crowded++;
    is_crowded_ = true;
    queue_.Drop(packet.id);
    Tell(sleeper, now);
  }
}

bool HoldThread::Hold(Sleeper* sleeper, const Flow& flow, const choice::QueuedPacket& packet, Milliseconds now) {
  const auto known = flows_.find(flow);
  if (known != flows_.end()) {
    std::vector<Packet>& packets = known->second->packets;
    const size_t most = flow.protocol == IPPROTO_TCP ? 1 : kMostDatagrams;
    if (packets.size() >= most) {
      queue_.Drop(packets.front().id);
      packets.erase(packets.begin());
      counts_.replaced++;
    } else if (counts_.waiting >= kMostPackets || sleeper->packets >= kMostPacketsOfOne) {
      return false;
    } else {
      counts_.waiting++;
      sleeper->packets++;
    }
    Add(&packets, flow, packet, now);
    return true;
  }
  if (counts_.waiting >= kMostPackets || sleeper->packets >= kMostPacketsOfOne) return false;
  if (flow.protocol == IPPROTO_UDP && sleeper->waiting.size() >= kMostUdpFlowsOfOne) return false;
  sleeper->waiting.push_back({flow, {}});
  const auto at = std::prev(sleeper->waiting.end());
  flows_[flow] = at;
  Add(&at->packets, flow, packet, now);
  sleeper->packets++;
  counts_.waiting++;
  counts_.held++;
  return true;
}

void HoldThread::Add(std::vector<Packet>* packets, const Flow& flow, const choice::QueuedPacket& packet, Milliseconds now) {
  Packet& added = packets->emplace_back();
  added.id = packet.id;
  added.since = now;
  added.lacks_checksum = packet.lacks_checksum;
  added.length = 0;
  if (flow.protocol != IPPROTO_TCP || packet.is_cut || packet.packet.size > kCopyBytes) return;
  added.length = static_cast<uint16_t>(packet.packet.size);
  memcpy(added.bytes, packet.packet.data, packet.packet.size);
}

void HoldThread::Tell(Sleeper* sleeper, Milliseconds now) {
  if (sleeper->phase == Phase::kAsleep) {
    sleeper->phase = Phase::kWaking;
    sleeper->since = now;
    look_for_late_ = std::min(look_for_late_, now + sleeper->timeout);
  } else if (now < sleeper->told + kTellAgain) {
    return;
  }
  sleeper->told = now;
  events_.push_back({sleeper->id, What::kWanted});
}

void HoldThread::GiveUpLate(Milliseconds now) {
  if (now < look_for_late_) return;
  look_for_late_ = std::numeric_limits<Milliseconds>::max();
  sleepers_.ForEach([&](Sleeper& sleeper) {
    if (sleeper.phase != Phase::kWaking) return;
    if (now < sleeper.since + sleeper.timeout) {
      look_for_late_ = std::min(look_for_late_, std::max(sleeper.since + sleeper.timeout, now + Milliseconds{kTurnMs}));
      return;
    }
    for (const Waiting& waiting : sleeper.waiting) {
      for (const Packet& packet : waiting.packets) queue_.Drop(packet.id);
      counts_.timed_out++;
      Forget(waiting);
    }
    sleeper.waiting.clear();
    sleeper.packets = 0;
    sleeper.phase = Phase::kRefusing;
    sleeper.until = now + kRefuse;
    events_.push_back({sleeper.id, What::kTimedOut});
  });
}

void HoldThread::Wake(Sleeper& sleeper, uint32_t endpoints, Milliseconds now) {
  if (sleeper.phase == Phase::kWaking && endpoints > 0) {
    counts_.wakes++;
    counts_.wake_ms += Since(now, sleeper.since);
  }
  if (endpoints == 0) {
    for (Waiting& waiting : sleeper.waiting) {
      for (const Packet& packet : waiting.packets) queue_.Release(packet.id, {});
      Forget(waiting);
    }
    return;
  }
  if (sleeper.waiting.empty()) return;
  // Whoever is new with the same addresses and ports does not come by here any more.
  for (const Waiting& waiting : sleeper.waiting) flows_.erase(waiting.flow);
  going_.push_back({std::move(sleeper.waiting), endpoints, kPace * endpoints, now});
}

void HoldThread::LetGo(Milliseconds now) {
  for (Going& going : going_) {
    const double pace = kPace * going.endpoints;
    going.allowed = std::min(pace, going.allowed + pace * static_cast<double>(Since(now, going.since)) / 1000);
    going.since = now;
    while (!going.flows.empty()) {
      if (HoldAgain(&going.flows, now)) continue;
      if (going.allowed < 1) break;
      going.allowed--;
      Release(&going.flows.front(), now);
      going.flows.pop_front();
    }
  }
  going_.remove_if([](const Going& going) { return going.flows.empty(); });
}

bool HoldThread::HoldAgain(Flows* going, Milliseconds now) {
  const auto first = going->begin();
  Sleeper* sleeper = sleepers_.Find(first->flow);
  if (sleeper == nullptr || sleeper->phase == Phase::kRefusing) return false;
  Tell(sleeper, now);
  const auto count = static_cast<uint32_t>(first->packets.size());
  // A newer packet of the flow may wait already.
  if (flows_.count(first->flow) != 0 || sleeper->packets + count > kMostPacketsOfOne) {
    for (const Packet& packet : first->packets) queue_.Drop(packet.id);
    counts_.waiting -= count;
    counts_.replaced += count;
    going->erase(first);
    return true;
  }
  sleeper->waiting.splice(sleeper->waiting.end(), *going, first);
  flows_[first->flow] = first;
  sleeper->packets += count;
  return true;
}

void HoldThread::Release(Waiting* waiting, Milliseconds now) {
  for (Packet& packet : waiting->packets) {
    const bool is_cured =
        packet.length > 0 && AddToTimestamp(packet.bytes, packet.length, waiting->flow.transport,
                                            static_cast<uint32_t>(Since(now, packet.since)), packet.lacks_checksum);
    counts_.cured += is_cured ? 1 : 0;
    queue_.Release(packet.id, is_cured ? choice::Span{packet.bytes, packet.length} : choice::Span{});
    counts_.waiting--;
  }
  counts_.released++;
}

void HoldThread::Forget(const Waiting& waiting) {
  counts_.waiting -= waiting.packets.size();
  flows_.erase(waiting.flow);
}

}  // namespace penstock::hold
