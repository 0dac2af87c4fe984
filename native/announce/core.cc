#include "core.h"

#include <algorithm>
#include <utility>

#include "../service/prepare.h"

namespace penstock::announce {

namespace {

// Linux does not let a changed hardware address replace an entry younger than one second (locktime): so again after it,
// and some times more for what gets lost.
constexpr Time kRepeatEvery = 1100;
constexpr int kRepeats = 5;
// Switches forget a station after some minutes of silence, before routers forget its address.
constexpr Time kRemindEvery = 60'000;
constexpr Time kDefendEvery = 250;
// Who hands over and does not hear the successor soon, asks whether somebody has the address: it may have been announced while it
// was not heard.
constexpr Time kAskAfter = 300;
constexpr Time kAskEvery = 500;
// RFC 5227, DEFEND_INTERVAL.
constexpr Time kDefendFromStranger = 10'000;
constexpr Core::Claim kRecheck = {Core::GiveWay::kToAll, 1, 100};

size_t FamilyIndex(const Ip& address) { return address.v6 ? 1 : 0; }

}  // namespace

std::pair<uint32_t, uint32_t> RendezvousScore(const std::string& node, const Ip& address) {
  std::string text = node + '#';
  text.append(reinterpret_cast<const char*>(address.bytes.data()), address.size());
  const auto* data = reinterpret_cast<const uint8_t*>(text.data());
  return {engine::Murmur3(data, text.size(), 0), engine::Murmur3(data, text.size(), 1)};
}

void Core::SetInterfaces(const std::vector<Interface>& interfaces, Time now) {
  std::map<int, Interface> next;
  for (const Interface& each : interfaces) next[each.index] = each;
  const auto before = std::exchange(interfaces_, std::move(next));
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (interfaces_.count(entry->first.first) != 0) {
      ++entry;
      continue;
    }
    SetDue(entry->first, &entry->second, std::nullopt);
    entry = entries_.erase(entry);
  }
  for (auto& [index, each] : interfaces_) {
    const auto old = before.find(index);
    if (old == before.end()) continue;
    const bool up = each.up;
    each.up = old->second.up;
    OnLink(index, up, each.mac, now);
  }
}

void Core::SetPeers(const std::vector<Peer>& peers) {
  peer_of_.clear();
  std::map<std::string, uint32_t> heard;
  for (const Peer& peer : peers) {
    heard[peer.name] = heard_of_[peer.name];
    for (const Mac& mac : peer.macs) peer_of_.emplace(mac, peer.name);
  }
  heard_of_ = std::move(heard);
}

void Core::Observe(int interface, const Ip& address) {
  if (FindInterface(interface) == nullptr) return;
  if (entries_.try_emplace({interface, address}).second) out_->WantedChanged(interface);
}

void Core::BeginClaim(int interface, const Ip& address, const Claim& claim, Time now) {
  Observe(interface, address);
  const auto found = entries_.find({interface, address});
  if (found == entries_.end()) return;
  Entry* entry = &found->second;
  if (entry->state == State::kOwning || entry->state == State::kProbing) return;
  // What is being handed over is still ours.
  if (entry->state == State::kCeding) {
    SetState(found->first, entry, State::kOwning);
    entry->repeats_left = kRepeats;
    SetDue(found->first, entry, now);
    Emit(EventKind::kClaimed, found->first, "", kNoMac);
    return;
  }
  StartProbing(found->first, entry, claim, now);
}

void Core::StartProbing(const Key& key, Entry* entry, Claim claim, Time now) {
  entry->claim = claim;
  entry->probes_left = std::max(claim.probes, 1);
  SetState(key, entry, State::kProbing);
  // Not before all claims of a batch are known: they change the filter once.
  SetDue(key, entry, now);
}

void Core::Cede(int interface, const Ip& address, Time within, Time now) {
  const auto found = entries_.find({interface, address});
  if (found == entries_.end() || found->second.state == State::kCeding) return;
  if (found->second.state != State::kOwning) {
    Release(interface, address);
    return Emit(EventKind::kCeded, found->first, "", kNoMac);
  }
  found->second.deadline = now + within;
  SetState(found->first, &found->second, State::kCeding);
  SetDue(found->first, &found->second, std::min(found->second.deadline, now + kAskAfter));
}

void Core::Release(int interface, const Ip& address) {
  const auto found = entries_.find({interface, address});
  if (found == entries_.end()) return;
  SetDue(found->first, &found->second, std::nullopt);
  SetState(found->first, &found->second, State::kObserving);
}

void Core::Forget(int interface, const Ip& address) {
  const auto found = entries_.find({interface, address});
  if (found == entries_.end()) return;
  SetDue(found->first, &found->second, std::nullopt);
  entries_.erase(found);
  out_->WantedChanged(interface);
}

void Core::Announce(int interface, const Ip& address, Time now) {
  const auto found = entries_.find({interface, address});
  if (found == entries_.end() || found->second.state != State::kOwning) return;
  found->second.repeats_left = kRepeats;
  SetDue(found->first, &found->second, now);
}

void Core::OnFrame(int interface, const uint8_t* data, size_t length, Time now, bool backlog) {
  const Parsed parsed = Parse(data, length);
  for (const auto& heard : {parsed.first, parsed.second}) {
    if (!heard) continue;
    const auto found = entries_.find({interface, heard->target});
    if (found == entries_.end()) continue;
    // Another process of this node, or our own frame that a loop brought back.
    const bool own = std::any_of(interfaces_.begin(), interfaces_.end(),
                                 [&](const auto& each) { return each.second.mac == heard->sender; });
    if (own && heard->kind != Heard::Kind::kAsk) continue;
    switch (heard->kind) {
      case Heard::Kind::kHave:
        Heard_(found->first, &found->second, heard->sender, now);
        break;
      case Heard::Kind::kProbe:
        if (found->second.state == State::kProbing) {
          ProbedBy(found->first, &found->second, *heard, now);
          break;
        }
        // Of two that hand over, each would take the other for the successor: who comes first by the hash goes on alone.
        if (found->second.state == State::kCeding && GoesBefore(heard->sender, heard->target)) break;
        [[fallthrough]];
      case Heard::Kind::kAsk:
        Reply(found->first, *heard, backlog);
    }
  }
}

void Core::Reply(const Key& key, const Heard& heard, bool backlog) {
  const State state = entries_[key].state;
  if (state != State::kOwning && state != State::kCeding) return;
  counters_.requests[FamilyIndex(key.second)]++;
  Interface* interface = FindInterface(key.first);
  // A late answer would overwrite what another node has said since.
  if (backlog || interface == nullptr || !interface->up) return;
  out_->Send(key.first, Answer(heard, interface->mac, interface->link_local));
  counters_.answers[FamilyIndex(key.second)]++;
}

// Somebody else says that it has the address.
void Core::Heard_(const Key& key, Entry* entry, const Mac& mac, Time now) {
  const auto known = peer_of_.find(mac);
  const std::string peer = known == peer_of_.end() ? "" : known->second;
  if (!peer.empty()) heard_of_[peer]++;
  const bool news = entry->seen != mac;
  entry->seen = mac;
  switch (entry->state) {
    case State::kObserving:
      if (news) Emit(EventKind::kSeen, key, peer, mac);
      return;
    case State::kProbing:
      if (peer.empty()) return Conflict(key, entry, mac, now);
      if (entry->claim.give_way == GiveWay::kToNobody) return;
      if (entry->claim.give_way == GiveWay::kToFirst && !ComesFirst(peer, key.second)) return;
      Release(key.first, key.second);
      return Emit(EventKind::kAnswered, key, peer, mac);
    case State::kCeding:
      if (peer.empty()) return Conflict(key, entry, mac, now);
      Release(key.first, key.second);
      return Emit(EventKind::kCeded, key, peer, mac);
    case State::kOwning:
      if (peer.empty()) {
        if (now - entry->defended >= kDefendFromStranger) {
          entry->defended = now;
          SendAnnouncement(key);
        }
        return Conflict(key, entry, mac, now);
      }
      if (now >= fresh_until_ || ComesFirst(peer, key.second)) {
        counters_.yields++;
        Release(key.first, key.second);
        return Emit(EventKind::kYielded, key, peer, mac);
      }
      // One that is due already is not put off: who announces again and again would never hear it.
      if (entry->defended >= now) return;
      entry->repeats_left = kRepeats;
      SetDue(key, entry, std::max(now, entry->defended + kDefendEvery));
      entry->defended = *entry->due;
      Emit(EventKind::kDefended, key, peer, mac);
  }
}

// Two that probe at once: RFC 5227, 2.1.1.
void Core::ProbedBy(const Key& key, Entry* entry, const Heard& heard, Time now) {
  const auto known = peer_of_.find(heard.sender);
  if (known == peer_of_.end()) return Conflict(key, entry, heard.sender, now);
  // Who hands over to us asks as well.
  const bool gives_way = entry->claim.give_way != GiveWay::kToNobody && ComesFirst(known->second, key.second);
  if (now < fresh_until_ && !gives_way) {
    // It may have begun after our last probe, and must not take silence for leave.
    Interface* interface = FindInterface(key.first);
    if (interface == nullptr || !interface->up) return;
    out_->Send(key.first, Probe(key.second, interface->mac));
    counters_.probes++;
    return;
  }
  const std::string peer = known->second;
  Release(key.first, key.second);
  Emit(EventKind::kAnswered, key, peer, heard.sender);
}

void Core::Conflict(const Key& key, Entry* entry, const Mac& mac, Time now) {
  counters_.conflicts++;
  const bool ends = entry->state == State::kProbing;
  if (ends) Release(key.first, key.second);
  else if (now - entry->conflict_told < kDefendFromStranger) return;
  entry->conflict_told = now;
  Emit(EventKind::kConflict, key, "", mac, ends ? 1 : 0);
}

void Core::OnLink(int index, bool up, const std::optional<Mac>& mac, Time now) {
  Interface* interface = FindInterface(index);
  if (interface == nullptr) return;
  const bool changed_mac = mac && *mac != interface->mac;
  if (changed_mac) interface->mac = *mac;
  const bool was_up = std::exchange(interface->up, up);
  if (was_up != up) events_.Append({EventKind::kLink, index, {}, "", kNoMac, up ? 1 : 0});
  if (!up || (was_up && !changed_mac)) return;
  for (auto& [key, entry] : entries_) {
    if (key.first != index) continue;
    if (was_up) Announce(index, key.second, now);
    // Meanwhile another node may have taken over.
    else if (entry.state == State::kOwning) StartProbing(key, &entry, kRecheck, now);
    else if (entry.state == State::kProbing) StartProbing(key, &entry, entry.claim, now);
  }
}

void Core::OnPause(Time paused, Time now) {
  Event event{};
  event.kind = EventKind::kPaused;
  event.value = paused;
  events_.Append(std::move(event));
  for (auto& [key, entry] : entries_) {
    if (entry.state == State::kOwning) StartProbing(key, &entry, kRecheck, now);
    // What came in while it slept was not heard in time.
    else if (entry.state == State::kProbing) StartProbing(key, &entry, entry.claim, now);
  }
}

void Core::Advance(Time now) {
  while (!schedule_.empty() && schedule_.begin()->first <= now) {
    const Key key = schedule_.begin()->second;
    StepOf(key, &entries_[key], now);
  }
}

void Core::StepOf(const Key& key, Entry* entry, Time now) {
  Interface* interface = FindInterface(key.first);
  // Without a carrier nothing is heard, so nothing is learnt from silence. OnLink() goes on.
  const bool up = interface != nullptr && interface->up;
  switch (entry->state) {
    case State::kObserving:
      return SetDue(key, entry, std::nullopt);
    case State::kProbing:
      if (!up) return SetDue(key, entry, std::nullopt);
      if (entry->probes_left > 0) {
        entry->probes_left--;
        out_->Send(key.first, Probe(key.second, interface->mac));
        counters_.probes++;
        return SetDue(key, entry, now + entry->claim.interval);
      }
      SetState(key, entry, State::kOwning);
      entry->repeats_left = kRepeats;
      Emit(EventKind::kClaimed, key, "", kNoMac);
      [[fallthrough]];
    case State::kOwning:
      if (up && !(deaf_ && entry->repeats_left == 0)) SendAnnouncement(key);
      if (entry->repeats_left > 0) entry->repeats_left--;
      return SetDue(key, entry, now + (entry->repeats_left > 0 ? kRepeatEvery : kRemindEvery));
    case State::kCeding:
      if (now >= entry->deadline) {
        Release(key.first, key.second);
        return Emit(EventKind::kCeded, key, "", kNoMac);
      }
      if (up) {
        out_->Send(key.first, Probe(key.second, interface->mac));
        counters_.probes++;
      }
      return SetDue(key, entry, std::min(entry->deadline, now + kAskEvery));
  }
}

void Core::SendAnnouncement(const Key& key) {
  Interface* interface = FindInterface(key.first);
  if (interface == nullptr || !interface->up) return;
  entries_[key].seen = interface->mac;
  out_->Send(key.first, Announcement(key.second, interface->mac, interface->link_local, false));
  if (!key.second.v6) out_->Send(key.first, Announcement(key.second, interface->mac, interface->link_local, true));
  counters_.announcements++;
}

std::optional<Time> Core::NextDue() const {
  if (schedule_.empty()) return std::nullopt;
  return schedule_.begin()->first;
}

Core::Wanted Core::WantedOf(int interface) const {
  Wanted wanted;
  for (auto entry = entries_.lower_bound({interface, Ip{}}); entry != entries_.end(); ++entry) {
    const auto& [index, address] = entry->first;
    if (index != interface) break;
    (address.v6 ? wanted.hear_v6 : wanted.hear_v4).insert(address.Tail());
    if (entry->second.state == State::kObserving) continue;
    (address.v6 ? wanted.answer_v6 : wanted.answer_v4).insert(address.Tail());
    if (address.v6) wanted.groups.push_back(address);
  }
  return wanted;
}

std::optional<Core::State> Core::StateOf(int interface, const Ip& address) const {
  const auto found = entries_.find({interface, address});
  if (found == entries_.end()) return std::nullopt;
  return found->second.state;
}

size_t Core::owned() const {
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& each) {
    return each.second.state == State::kOwning || each.second.state == State::kCeding;
  }));
}

std::vector<Mac> Core::macs() const {
  std::vector<Mac> all;
  for (const auto& [index, interface] : interfaces_)
    if (interface.mac != kNoMac) all.push_back(interface.mac);
  return all;
}

Interface* Core::FindInterface(int index) {
  const auto found = interfaces_.find(index);
  return found == interfaces_.end() ? nullptr : &found->second;
}

bool Core::ComesFirst(const std::string& peer, const Ip& address) const {
  const auto theirs = RendezvousScore(peer, address);
  const auto ours = RendezvousScore(self_, address);
  return theirs != ours ? theirs > ours : peer < self_;
}

bool Core::GoesBefore(const Mac& sender, const Ip& address) const {
  const auto peer = peer_of_.find(sender);
  return peer != peer_of_.end() && ComesFirst(peer->second, address);
}

void Core::SetDue(const Key& key, Entry* entry, std::optional<Time> due) {
  if (entry->due) schedule_.erase({*entry->due, key});
  entry->due = due;
  if (due) schedule_.insert({*due, key});
}

void Core::SetState(const Key& key, Entry* entry, State state) {
  if (entry->state == state) return;
  const bool changes = entry->state == State::kObserving || state == State::kObserving;
  entry->state = state;
  if (changes) out_->WantedChanged(key.first);
}

void Core::Emit(EventKind kind, const Key& key, const std::string& peer, const Mac& mac, int64_t value) {
  events_.Append({kind, key.first, key.second, peer, mac, value});
}

}  // namespace penstock::announce
