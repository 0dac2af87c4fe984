#include "bfd_session.h"

#include <algorithm>
#include <limits>

namespace penstock::announce {

namespace {

// RFC 5880, 6.8.3: not faster while the session is not up.
constexpr uint32_t kSlow = 1'000'000;
constexpr uint8_t kVersion = 1;
constexpr uint8_t kPoll = 0x20;
constexpr uint8_t kFinal = 0x10;
constexpr uint8_t kAuthentication = 0x04;
constexpr uint8_t kMultipoint = 0x01;
constexpr Micros kNever = std::numeric_limits<Micros>::max();

uint32_t ReadU32(const uint8_t* data) {
  return uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3];
}

void PutU32(uint8_t* out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

}  // namespace

std::optional<BfdPacket> ParseBfd(const uint8_t* data, size_t length) {
  if (length < kBfdPacket || data[0] >> 5 != kVersion) return std::nullopt;
  if (data[3] < kBfdPacket || data[3] > length || data[2] == 0) return std::nullopt;
  if ((data[1] & (kMultipoint | kAuthentication)) != 0) return std::nullopt;
  BfdPacket packet{};
  packet.diag = static_cast<BfdDiag>(data[0] & 0x1f);
  packet.state = static_cast<BfdState>(data[1] >> 6);
  packet.poll = (data[1] & kPoll) != 0;
  packet.final = (data[1] & kFinal) != 0;
  packet.multiplier = data[2];
  packet.mine = ReadU32(data + 4);
  packet.yours = ReadU32(data + 8);
  packet.transmit_us = ReadU32(data + 12);
  packet.receive_us = ReadU32(data + 16);
  if (packet.mine == 0) return std::nullopt;
  if (packet.yours == 0 && packet.state != BfdState::kDown && packet.state != BfdState::kAdminDown) return std::nullopt;
  return packet;
}

std::array<uint8_t, kBfdPacket> BuildBfd(const BfdPacket& packet) {
  std::array<uint8_t, kBfdPacket> out{};
  out[0] = static_cast<uint8_t>(kVersion << 5 | static_cast<uint8_t>(packet.diag));
  out[1] = static_cast<uint8_t>(static_cast<uint8_t>(packet.state) << 6 | (packet.poll ? kPoll : 0) | (packet.final ? kFinal : 0));
  out[2] = packet.multiplier;
  out[3] = kBfdPacket;
  PutU32(&out[4], packet.mine);
  PutU32(&out[8], packet.yours);
  PutU32(&out[12], packet.transmit_us);
  PutU32(&out[16], packet.receive_us);
  return out;
}

uint32_t BfdSession::DesiredTransmit() const {
  return state_ == BfdState::kUp ? options_.transmit_us : std::max(options_.transmit_us, kSlow);
}

Micros BfdSession::detection_time() const {
  return Micros{remote_multiplier_} * std::max(options_.receive_us, remote_transmit_us_);
}

BfdPacket BfdSession::Packet() const {
  return {state_, diag_, polling_, false, options_.multiplier, mine_, yours_, DesiredTransmit(), options_.receive_us};
}

void BfdSession::Become(BfdState state, BfdDiag diag) {
  if (state_ == state) return;
  // Another interval is told by polling until the other side has heard it.
  const uint32_t before = DesiredTransmit();
  state_ = state;
  diag_ = diag;
  polling_ = state == BfdState::kUp && before != DesiredTransmit();
}

std::optional<BfdPacket> BfdSession::Receive(const BfdPacket& packet, Micros now) {
  heard_ = now;
  yours_ = packet.mine;
  remote_receive_us_ = packet.receive_us;
  remote_transmit_us_ = packet.transmit_us;
  remote_multiplier_ = packet.multiplier;
  if (packet.final) polling_ = false;
  const BfdState before = state_;
  if (packet.state == BfdState::kAdminDown) {
    if (state_ != BfdState::kDown) Become(BfdState::kDown, BfdDiag::kNeighbourDown);
  } else if (state_ == BfdState::kDown) {
    if (packet.state == BfdState::kDown) Become(BfdState::kInit, BfdDiag::kNone);
    else if (packet.state == BfdState::kInit) Become(BfdState::kUp, BfdDiag::kNone);
  } else if (state_ == BfdState::kInit) {
    if (packet.state == BfdState::kInit || packet.state == BfdState::kUp) Become(BfdState::kUp, BfdDiag::kNone);
  } else if (packet.state == BfdState::kDown) {
    Become(BfdState::kDown, BfdDiag::kNeighbourDown);
  }
  if (state_ != before) send_at_ = now;
  if (!packet.poll) return std::nullopt;
  BfdPacket answer = Packet();
  answer.poll = false;
  answer.final = true;
  return answer;
}

std::optional<BfdPacket> BfdSession::Advance(Micros now, double random) {
  const bool waits = state_ == BfdState::kInit || state_ == BfdState::kUp;
  if (waits && now >= heard_ + detection_time()) {
    Become(BfdState::kDown, BfdDiag::kTimeExpired);
    yours_ = 0;
    send_at_ = now;
  }
  if (now < send_at_) return std::nullopt;
  // RFC 5880, 6.8.7: 75 to 100 % of the interval, to 90 % where one lost packet already counts.
  const double least = 0.75;
  const double width = options_.multiplier == 1 ? 0.15 : 0.25;
  const uint32_t interval = std::max(DesiredTransmit(), remote_receive_us_);
  send_at_ = now + static_cast<Micros>(interval * (least + width * random));
  // The other side wants none, or is to begin.
  if (remote_receive_us_ == 0 || (options_.passive && yours_ == 0)) return std::nullopt;
  return Packet();
}

Micros BfdSession::NextDue() const {
  const bool waits = state_ == BfdState::kInit || state_ == BfdState::kUp;
  return std::min(send_at_, waits ? heard_ + detection_time() : kNever);
}

BfdPacket BfdSession::AdminDown() {
  Become(BfdState::kAdminDown, BfdDiag::kAdminDown);
  return Packet();
}

}  // namespace penstock::announce
