// Ethernet frames of ARP (RFC 826, 5227) and neighbour discovery (RFC 4861): bytes ↔ meaning. Pure.
#ifndef PENSTOCK_ANNOUNCE_FRAMES_H_
#define PENSTOCK_ANNOUNCE_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "address.h"

namespace penstock::announce {

using Frame = std::vector<uint8_t>;

// What a frame says about an address.
struct Heard {
  enum class Kind {
    kAsk,    // who has `target`? The asker wants an answer.
    kProbe,  // who has `target`? The asker wants it for itself, and has no address yet.
    kHave,   // `target` is at `sender`: an announcement or an answer.
  };
  Kind kind;
  Ip target;
  // Whose hardware address the frame gives; for kAsk and kProbe where the answer goes.
  Mac sender;
  // Of who asks; unspecified for kProbe.
  Ip asker;
};

// A request of which the sender names itself is two things at once: sender address and target.
struct Parsed {
  std::optional<Heard> first;
  std::optional<Heard> second;
};

// Nothing for what is no well-formed ARP packet or neighbour message; never reads beyond `length`.
Parsed Parse(const uint8_t* frame, size_t length);

// `from` is the interface's hardware address, `source` its link-local address (IPv6; unspecified: the target itself).
Frame Probe(const Ip& target, const Mac& from);
// `as_reply`: ARP operation 2; some stacks take only one of both. IPv6 has one form.
Frame Announcement(const Ip& target, const Mac& from, const Ip& source, bool as_reply);
Frame Answer(const Heard& request, const Mac& from, const Ip& source);

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_FRAMES_H_
