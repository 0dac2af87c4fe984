#include "filter.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include <algorithm>
#include <set>

namespace penstock::announce {

namespace {

struct Range {
  uint32_t first, last;
};

// Four lists of three instructions a range stay far below BPF_MAXINSNS (4096).
constexpr size_t kMaxRanges = 250;

// Neighbouring addresses are one range; then the smallest gaps are closed until there are few enough.
std::vector<Range> RangesOf(const std::set<uint32_t>& addresses) {
  std::vector<Range> ranges;
  for (const uint32_t address : addresses) {
    if (!ranges.empty() && ranges.back().last + 1 == address) ranges.back().last = address;
    else ranges.push_back({address, address});
  }
  if (ranges.size() <= kMaxRanges) return ranges;
  std::vector<uint32_t> gaps;
  for (size_t i = 1; i < ranges.size(); i++) gaps.push_back(ranges[i].first - ranges[i - 1].last);
  const auto limit = gaps.begin() + static_cast<ptrdiff_t>(ranges.size() - kMaxRanges);
  std::nth_element(gaps.begin(), limit, gaps.end());
  std::vector<Range> merged = {ranges.front()};
  for (size_t i = 1; i < ranges.size(); i++) {
    if (ranges[i].first - merged.back().last <= *limit) merged.back().last = ranges[i].last;
    else merged.push_back(ranges[i]);
  }
  return merged;
}

class Program {
 public:
  std::vector<sock_filter> code;

  void Load(uint16_t size, uint32_t offset) { code.push_back(BPF_STMT(static_cast<uint16_t>(BPF_LD | size | BPF_ABS), offset)); }
  void Return(uint32_t length) { code.push_back(BPF_STMT(BPF_RET | BPF_K, length)); }
  // Goes on when the loaded value is `value`; otherwise nothing is let through.
  void Require(uint32_t value) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    Return(0);
  }
  // Lets through when the loaded value is in a range, goes on otherwise.
  void AcceptIn(const std::set<uint32_t>& addresses) {
    for (const Range& range : RangesOf(addresses)) {
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, range.first, 0, 2));
      code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, range.last, 1, 0));
      Return(kAll);
    }
  }
  // `skip` is known later: the index of the jump, for Land().
  size_t JumpUnless(uint32_t value) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    code.push_back(BPF_STMT(BPF_JMP | BPF_JA, 0));
    return code.size() - 1;
  }
  void Land(size_t jump) { code[jump].k = static_cast<uint32_t>(code.size() - jump - 1); }

 private:
  static constexpr uint32_t kAll = 0x40000;
};

constexpr uint32_t kAncillary = static_cast<uint32_t>(SKF_AD_OFF);
constexpr uint32_t kArpSender = 28;
constexpr uint32_t kArpTarget = 38;
constexpr uint32_t kIcmpType = 54;
// The last four bytes of the target address.
constexpr uint32_t kNeighbourTarget = 74;

}  // namespace

std::vector<sock_filter> FilterFor(const Core::Wanted& wanted) {
  Program program;
  // PACKET_HOST, PACKET_BROADCAST and PACKET_MULTICAST are 0 to 2; not what is for others.
  program.Load(BPF_W, kAncillary + SKF_AD_PKTTYPE);
  program.code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_MULTICAST, 0, 1));
  program.Return(0);
  program.Load(BPF_H, 12);
  const size_t not_arp = program.JumpUnless(ETH_P_ARP);
  program.Load(BPF_W, kArpTarget);
  program.AcceptIn(wanted.answer_v4);
  program.Load(BPF_W, kArpSender);
  program.AcceptIn(wanted.hear_v4);
  program.Return(0);
  program.Land(not_arp);
  program.Require(ETH_P_IPV6);
  // Next header ICMPv6, hop limit 255.
  program.Load(BPF_H, 20);
  program.Require(58 << 8 | 255);
  program.Load(BPF_B, kIcmpType);
  const size_t not_solicitation = program.JumpUnless(135);
  program.Load(BPF_W, kNeighbourTarget);
  program.AcceptIn(wanted.answer_v6);
  program.Return(0);
  program.Land(not_solicitation);
  program.Require(136);
  program.Load(BPF_W, kNeighbourTarget);
  program.AcceptIn(wanted.hear_v6);
  program.Return(0);
  return program.code;
}

}  // namespace penstock::announce
