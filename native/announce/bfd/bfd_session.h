// One session of Bidirectional Forwarding Detection (RFC 5880, asynchronous mode without echo and authentication; 5881), as a
// machine without sockets and clock. Times are microseconds.
#ifndef PENSTOCK_ANNOUNCE_BFD_SESSION_H_
#define PENSTOCK_ANNOUNCE_BFD_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace penstock::announce {

using Micros = int64_t;

enum class BfdState : uint8_t { kAdminDown, kDown, kInit, kUp };

// bfd.LocalDiag.
enum class BfdDiag : uint8_t { kNone = 0, kTimeExpired = 1, kNeighbourDown = 3, kAdminDown = 7 };

struct BfdOptions {
  uint32_t transmit_us = 300'000;
  uint32_t receive_us = 300'000;
  uint8_t multiplier = 3;
  // Waits for the other side to begin.
  bool passive = false;
};

constexpr size_t kBfdPacket = 24;

struct BfdPacket {
  BfdState state;
  BfdDiag diag;
  bool poll;
  bool final;
  uint8_t multiplier;
  uint32_t mine;
  uint32_t yours;
  uint32_t transmit_us;
  uint32_t receive_us;
};

// Nothing for what RFC 5880, 6.8.6 says to discard.
std::optional<BfdPacket> ParseBfd(const uint8_t* data, size_t length);
std::array<uint8_t, kBfdPacket> BuildBfd(const BfdPacket& packet);

class BfdSession {
 public:
  BfdSession(const BfdOptions& options, uint32_t discriminator) : options_(options), mine_(discriminator) {}

  // Answers with a packet when one is to be sent at once.
  std::optional<BfdPacket> Receive(const BfdPacket& packet, Micros now);
  // Does what is due; `random` is 0 up to 1. Answers with a packet when one is to be sent.
  std::optional<BfdPacket> Advance(Micros now, double random);
  // When Advance() has something to do.
  Micros NextDue() const;
  // When the next packet is due.
  Micros NextSend() const { return send_at_; }
  // What tells the other side that no failure is meant.
  BfdPacket AdminDown();

  BfdState state() const { return state_; }
  BfdDiag diag() const { return diag_; }
  uint32_t discriminator() const { return mine_; }
  Micros detection_time() const;

 private:
  BfdPacket Packet() const;
  void Become(BfdState state, BfdDiag diag);
  uint32_t DesiredTransmit() const;

  BfdOptions options_;
  uint32_t mine_;
  BfdState state_ = BfdState::kDown;
  BfdDiag diag_ = BfdDiag::kNone;
  uint32_t yours_ = 0;
  uint32_t remote_receive_us_ = 1;
  uint32_t remote_transmit_us_ = 0;
  uint8_t remote_multiplier_ = 0;
  bool polling_ = false;
  Micros heard_ = 0;
  Micros send_at_ = 0;
};

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_BFD_SESSION_H_
