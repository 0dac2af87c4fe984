#include "socket_lookup.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include "bpf.h"

namespace penstock::lookup {

namespace {

// Since Linux 5.9; older headers do not have them all.
constexpr auto kProgramType = static_cast<bpf_prog_type>(30);    // BPF_PROG_TYPE_SK_LOOKUP
constexpr auto kAttachType = static_cast<bpf_attach_type>(36);   // BPF_SK_LOOKUP
constexpr int32_t kLookUp = 1;                                   // bpf_map_lookup_elem
constexpr int32_t kRelease = 86;                                 // bpf_sk_release
constexpr int32_t kAssign = 124;                                 // bpf_sk_assign
// struct bpf_sk_lookup, bytes.
constexpr int16_t kFamily = 8;
constexpr int16_t kProtocol = 12;
constexpr int16_t kLocalIp4 = 40;
constexpr int16_t kLocalIp6 = 44;
constexpr int32_t kPass = 1;  // SK_PASS: with the assigned socket, or as if there were no program

// As BPF_MAP_TYPE_LPM_TRIE wants it.
struct RangeKey {
  uint32_t bits;
  uint8_t first[16];
};
constexpr uint32_t kAllBits = 128;
constexpr int32_t kIpv4Index = 0;
constexpr int32_t kIpv6Index = 1;

// Where the program keeps the keys on its stack.
constexpr int16_t kIndexAt = -4;
constexpr int16_t kKeyAt = kIndexAt - static_cast<int16_t>(sizeof(RangeKey));
constexpr int16_t kAddressAt = kKeyAt + static_cast<int16_t>(offsetof(RangeKey, first));

RangeKey KeyOf(const Range& range) {
  RangeKey key;
  key.bits = range.bits;
  memcpy(key.first, range.first.data(), sizeof key.first);
  return key;
}

// TCP to an address in one of the ranges: the listener of its family. Everything else is let pass.
std::vector<bpf_insn> Program(int ranges, int sockets) {
  constexpr uint8_t kContext = BPF_REG_6, kSocket = BPF_REG_7, kStack = BPF_REG_10;
  Assembler code;
  const auto pass = code.NewLabel(), ipv6 = code.NewLabel(), look_up = code.NewLabel();
  code.Move(kContext, BPF_REG_1);
  code.Load32(BPF_REG_2, kContext, kProtocol);
  code.JumpIfNotEqual(BPF_REG_2, IPPROTO_TCP, pass);
  code.Store32Immediate(kStack, kKeyAt, kAllBits);
  code.Load32(BPF_REG_2, kContext, kFamily);
  code.JumpIfEqual(BPF_REG_2, AF_INET6, ipv6);
  code.JumpIfNotEqual(BPF_REG_2, AF_INET, pass);
  code.Store32Immediate(kStack, kAddressAt, 0);
  code.Store32Immediate(kStack, kAddressAt + 4, 0);
  code.Store32Immediate(kStack, kAddressAt + 8, htonl(0xffff));
  code.Load32(BPF_REG_2, kContext, kLocalIp4);
  code.Store32(kStack, kAddressAt + 12, BPF_REG_2);
  code.Store32Immediate(kStack, kIndexAt, kIpv4Index);
  code.Jump(look_up);
  code.Place(ipv6);
  for (int16_t at = 0; at < 16; at += 4) {
    code.Load32(BPF_REG_2, kContext, kLocalIp6 + at);
    code.Store32(kStack, kAddressAt + at, BPF_REG_2);
  }
  code.Store32Immediate(kStack, kIndexAt, kIpv6Index);
  code.Place(look_up);
  code.LoadMap(BPF_REG_1, ranges);
  code.Move(BPF_REG_2, kStack);
  code.AddImmediate(BPF_REG_2, kKeyAt);
  code.Call(kLookUp);
  code.JumpIfEqual(BPF_REG_0, 0, pass);
  code.LoadMap(BPF_REG_1, sockets);
  code.Move(BPF_REG_2, kStack);
  code.AddImmediate(BPF_REG_2, kIndexAt);
  code.Call(kLookUp);
  code.JumpIfEqual(BPF_REG_0, 0, pass);
  code.Move(kSocket, BPF_REG_0);
  code.Move(BPF_REG_1, kContext);
  code.Move(BPF_REG_2, kSocket);
  code.MoveImmediate(BPF_REG_3, 0);
  // The kernel goes on to choose among the sockets that share the port.
  code.Call(kAssign);
  code.Move(BPF_REG_1, kSocket);
  code.Call(kRelease);
  code.Place(pass);
  code.MoveImmediate(BPF_REG_0, kPass);
  code.Exit();
  return code.Finish();
}

UniqueFd MakeRanges() {
  return CreateMap(BPF_MAP_TYPE_LPM_TRIE, sizeof(RangeKey), 1, SocketLookup::kMostRanges, BPF_F_NO_PREALLOC);
}

UniqueFd MakeSockets() { return CreateMap(BPF_MAP_TYPE_SOCKMAP, sizeof(int32_t), sizeof(uint64_t), 2, 0); }

UniqueFd Load(const UniqueFd& ranges, const UniqueFd& sockets) {
  return LoadProgram(kProgramType, kAttachType, Program(ranges.get(), sockets.get()), "penstock");
}

}  // namespace

void SocketLookup::Probe() { Load(MakeRanges(), MakeSockets()); }

SocketLookup::SocketLookup(int ipv4_listener, int ipv6_listener) : ranges_(MakeRanges()), sockets_(MakeSockets()) {
  const auto put = [this](int32_t index, int listener) {
    const uint64_t value = static_cast<uint64_t>(listener);
    if (listener >= 0) UpdateElement(sockets_.get(), &index, &value);
  };
  put(kIpv4Index, ipv4_listener);
  put(kIpv6Index, ipv6_listener);
  const UniqueFd program = Load(ranges_, sockets_);
  const UniqueFd here(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!here.is_open()) throw std::system_error(errno, std::generic_category(), "opening /proc/thread-self/ns/net");
  link_ = CreateLink(program.get(), here.get(), kAttachType);
}

void SocketLookup::SetRanges(const std::vector<Range>& ranges) {
  const std::set<Range> wanted(ranges.begin(), ranges.end());
  const uint8_t present = 1;
  const std::set<Range> before = known_;
  for (const Range& range : before) {
    if (wanted.count(range) != 0) continue;
    const RangeKey key = KeyOf(range);
    DeleteElement(ranges_.get(), &key);
    known_.erase(range);
  }
  for (const Range& range : wanted) {
    if (known_.count(range) != 0) continue;
    const RangeKey key = KeyOf(range);
    UpdateElement(ranges_.get(), &key, &present);
    known_.insert(range);
  }
}

}  // namespace penstock::lookup
