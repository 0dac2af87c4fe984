#include "heartbeats.h"

#include <algorithm>
#include <utility>

#include "../service/prepare.h"

namespace penstock::announce {

namespace {

// "PSHB", version, flags, length of the name, hardware addresses, entries; name; 6 bytes each; u32 hash of a name and u32
// announcements heard each.
constexpr uint8_t kMagic[] = {'P', 'S', 'H', 'B', 1};
constexpr size_t kHead = 9;
constexpr size_t kEntry = 8;
constexpr uint8_t kLeaving = 1;
constexpr uint8_t kDeaf = 2;
constexpr uint8_t kEndsWithAgent = 4;
// 253 bytes are the longest name of a node; with so many entries a datagram is no fragment.
constexpr size_t kMaxEntries = 120;
constexpr size_t kMaxName = 253;
constexpr size_t kMaxMacs = 16;

uint32_t HashOf(const std::string& name) {
  return engine::Murmur3(reinterpret_cast<const uint8_t*>(name.data()), name.size(), 0);
}

void PutU32(std::vector<uint8_t>* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t ReadU32(const uint8_t* data) {
  return uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3];
}

Event About(EventKind kind, const std::string& peer, int64_t value = 0) {
  Event event{};
  event.kind = kind;
  event.peer = peer;
  event.value = value;
  return event;
}

}  // namespace

void Heartbeats::SetPeers(const std::vector<HeartbeatTarget>& peers) {
  std::map<std::string, Known> next;
  for (const HeartbeatTarget& peer : peers) {
    if (peer.name == self_) continue;
    const auto known = peers_.find(peer.name);
    Known& entry = next[peer.name];
    if (known != peers_.end()) entry = known->second;
    entry.address = peer.address;
  }
  peers_ = std::move(next);
}

void Heartbeats::OnDatagram(const Ip& from, const uint8_t* data, size_t length, Time now, EventQueue* events) {
  if (length < kHead || !std::equal(std::begin(kMagic), std::end(kMagic), data)) return;
  const uint8_t flags = data[5];
  const size_t name_length = data[6];
  const size_t macs = data[7];
  const size_t entries = data[8];
  if (macs > kMaxMacs || length != kHead + name_length + macs * sizeof(Mac) + entries * kEntry) return;
  const std::string name(reinterpret_cast<const char*>(data + kHead), name_length);
  const auto found = peers_.find(name);
  if (found == peers_.end() || !(found->second.address == from)) return;
  Known& peer = found->second;
  peer.heard = now;
  peer.met = true;
  // An agent that begins knows nothing of the one before; what that one carried has ended with it.
  peer.ends_with_agent = (flags & kEndsWithAgent) != 0 || ((flags & kLeaving) != 0 && peer.ends_with_agent);
  const uint8_t* entry = data + kHead + name_length;
  std::vector<Mac> own(macs);
  for (Mac& mac : own) {
    std::copy(entry, entry + mac.size(), mac.begin());
    entry += mac.size();
  }
  if (own != peer.macs) {
    peer.macs = std::move(own);
    macs_changed_ = true;
  }
  const uint32_t ours = HashOf(self_);
  for (size_t i = 0; i < entries; i++, entry += kEntry)
    if (ReadU32(entry) == ours) peer.heard_ours = ReadU32(entry + 4);
  // A deaf node answers no request, whatever it sends.
  const PeerState state = flags & kLeaving ? PeerState::kLeaving : flags & kDeaf ? PeerState::kDead : PeerState::kAlive;
  const PeerState before = std::exchange(peer.state, state);
  if (before == state) return;
  if (state == PeerState::kAlive) events->Append(About(EventKind::kPeerUp, name));
  if (state == PeerState::kLeaving) events->Append(About(EventKind::kPeerLeaving, name));
  if (state == PeerState::kDead) events->Append(About(EventKind::kPeerDown, name, 1));
}

bool Heartbeats::Tick(Time now, EventQueue* events) {
  if (now < next_) return false;
  next_ = std::max(next_ + timing_.every, now);
  size_t known = 0;
  size_t heard = 0;
  for (auto& [name, peer] : peers_) {
    if (peer.state == PeerState::kUnknown || !peer.met) continue;
    known++;
    if (now - peer.heard <= timing_.every * timing_.lost) {
      heard++;
      continue;
    }
    if (std::exchange(peer.state, PeerState::kDead) != PeerState::kDead) events->Append(About(EventKind::kPeerDown, name));
  }
  deaf_ = known >= 2 && heard == 0;
  for (auto& [name, peer] : peers_) {
    if (peer.state != PeerState::kUnknown) continue;
    if (!peer.awaited) peer.awaited = now;
    // Where nobody is heard a firewall may be in the way, and Leases decide. One more than of a peer that fell silent: it may have
    // to learn first that this node is there. Who is wrong about it learns from the probe.
    if (heard == 0 || now - *peer.awaited <= timing_.every * (timing_.lost + 1)) continue;
    peer.state = PeerState::kDead;
    events->Append(About(EventKind::kPeerDown, name));
  }
  return true;
}

void Heartbeats::OnPause(Time now) {
  for (auto& [name, peer] : peers_) peer.heard = std::max(peer.heard, now);
}

std::vector<Mac> Heartbeats::MacsOf(const std::string& peer) const {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? std::vector<Mac>{} : found->second.macs;
}

std::vector<uint8_t> Heartbeats::Datagram(const std::vector<Mac>& macs, const std::map<std::string, uint32_t>& heard_of) const {
  std::vector<uint8_t> out(std::begin(kMagic), std::end(kMagic));
  const size_t name_length = std::min(self_.size(), kMaxName);
  const size_t entries = std::min(heard_of.size(), kMaxEntries);
  out.push_back(static_cast<uint8_t>((leaving_ ? kLeaving : 0) | (deaf_ ? kDeaf : 0) | (ends_with_agent_ ? kEndsWithAgent : 0)));
  out.push_back(static_cast<uint8_t>(name_length));
  const size_t mac_count = std::min(macs.size(), kMaxMacs);
  out.push_back(static_cast<uint8_t>(mac_count));
  out.push_back(static_cast<uint8_t>(entries));
  out.insert(out.end(), self_.begin(), self_.begin() + static_cast<ptrdiff_t>(name_length));
  for (size_t i = 0; i < mac_count; i++) out.insert(out.end(), macs[i].begin(), macs[i].end());
  size_t left = entries;
  for (const auto& [name, count] : heard_of) {
    if (left-- == 0) break;
    PutU32(&out, HashOf(name));
    PutU32(&out, count);
  }
  return out;
}

std::vector<Ip> Heartbeats::Destinations() const {
  std::vector<Ip> all;
  for (const auto& [name, peer] : peers_) all.push_back(peer.address);
  return all;
}

std::vector<PeerStatus> Heartbeats::Status(Time now) const {
  std::vector<PeerStatus> all;
  for (const auto& [name, peer] : peers_)
    all.push_back({name, peer.state, peer.met ? now - peer.heard : -1, peer.heard_ours, peer.ends_with_agent, peer.macs});
  return all;
}

}  // namespace penstock::announce
