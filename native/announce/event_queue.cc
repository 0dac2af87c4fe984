#include "event_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace penstock::announce {

namespace {

constexpr Time kTellEvery = 100;

}  // namespace

void EventQueue::Append(Event event) {
  news_[PaceOf(event.kind)] = true;
  Key key = KeyOf(event);
  const auto known = at_.find(key);
  if (known != at_.end()) {
    events_.erase(known->second);
    at_.erase(known);
  }
  events_.push_back(std::move(event));
  at_.emplace(std::move(key), std::prev(events_.end()));
}

std::vector<Event> EventQueue::Take() {
  at_.clear();
  std::fill(std::begin(news_), std::end(news_), false);
  std::list<Event> taken = std::exchange(events_, {});
  return {std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end())};
}

std::optional<Time> EventQueue::due() const {
  std::optional<Time> first;
  for (int pace = 0; pace < kPaces; pace++) {
    if (!news_[pace]) continue;
    const Time due = pace == kAtOnce ? told_[pace] : told_[pace] + kTellEvery;
    first = first ? std::min(*first, due) : due;
  }
  return first;
}

// Whoever is told takes everything, so the next turn of each kind begins here.
void EventQueue::Told(Time now) {
  for (int pace = 0; pace < kPaces; pace++)
    if (std::exchange(news_[pace], false)) told_[pace] = now;
}

EventQueue::Pace EventQueue::PaceOf(EventKind kind) {
  switch (kind) {
    case EventKind::kPeerUp:
    case EventKind::kPeerDown:
    case EventKind::kPeerLeaving:
      return kOfPeers;
    case EventKind::kDefended:
    case EventKind::kSeen:
    case EventKind::kLink:
      return kOfFrames;
    default:
      return kAtOnce;
  }
}

EventQueue::Key EventQueue::KeyOf(const Event& event) {
  const bool about_peer = PaceOf(event.kind) == kOfPeers;
  return {event.kind, event.interface, event.address, about_peer ? event.peer : "",
          event.kind == EventKind::kConflict ? event.value : 0};
}

}  // namespace penstock::announce
