#include "connections.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <system_error>

#include "beat.h"

namespace penstock::choice {

namespace {

constexpr int kBufferBytes = 4 * 1024 * 1024;
constexpr size_t kReadBytes = 32 * 1024;
// Datagrams of a list, and of events, that are read in a turn, so that choosing does not wait for all of them.
constexpr int kListShare = 8;
constexpr int kEventShare = 512;
constexpr size_t kMostConnections = size_t{1} << 20;
constexpr size_t kMostDecisions = 65'536;
// Two datagrams of a flow at once get the same endpoint, and repeats are known, for so long.
constexpr Milliseconds kRemember = 5'000;
// Between two countings: soon where something was missed, seldom otherwise. A counting takes so small a share of the time.
constexpr Milliseconds kSoon = 1'000;
constexpr Milliseconds kWithUntold = 10'000;
constexpr Milliseconds kSeldom = 60'000;
constexpr Milliseconds kListShareOfTime = 50;
constexpr Milliseconds kListTakesAtMost = 30'000;

constexpr uint16_t kNew = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
constexpr uint16_t kGet = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
constexpr uint16_t kDelete = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
// CTA_STATUS_MASK, Linux 5.18.
constexpr uint16_t kStatusMask = 26;

constexpr uint32_t kAttributes = NLMSG_HDRLEN + sizeof(nfgenmsg);
constexpr uint32_t kFind = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_NLATTR);
constexpr uint32_t kFindInside = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_NLATTR_NEST);

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

template <size_t N>
void AttachFilter(int socket, sock_filter (&program)[N]) {
  sock_fprog filter{N, program};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) Fail("filter events");
}

void Join(int socket, int group) {
  if (setsockopt(socket, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) Fail("listen to events");
}

// What begins, what the kernel forgets, and of all changes only that a TCP connection was closed: that end is told once more when
// the kernel forgets it. Only of what is sent on to an endpoint. One socket for all, so that they come in their order.
UniqueFd OpenEvents() {
  UniqueFd socket = OpenNetfilter(kBufferBytes, true);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_IMM, kAttributes),
      BPF_STMT(BPF_LDX | BPF_IMM, CTA_STATUS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFind),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 22, 0),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_IND, NLA_HDRLEN),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IPS_DST_NAT, 0, 19),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(kDelete), 16, 0),
      // What begins is told as created.
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_flags)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NLM_F_CREATE), 14, 0),
      BPF_STMT(BPF_LD | BPF_IMM, kAttributes),
      BPF_STMT(BPF_LDX | BPF_IMM, CTA_PROTOINFO),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFind),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 11, 0),
      BPF_STMT(BPF_LDX | BPF_IMM, CTA_PROTOINFO_TCP),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFindInside),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 8, 0),
      BPF_STMT(BPF_LDX | BPF_IMM, CTA_PROTOINFO_TCP_STATE),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFindInside),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, NLA_HDRLEN),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_CONNTRACK_TIME_WAIT, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_CONNTRACK_CLOSE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  AttachFilter(socket.get(), program);
  for (const int group : {NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE, NFNLGRP_CONNTRACK_DESTROY}) Join(socket.get(), group);
  return socket;
}

bool ReadAddress(Span ip, uint16_t v4, uint16_t v6, Address* address) {
  Span found = Find(ip, v4);
  address->family = AF_INET;
  if (!found) {
    found = Find(ip, v6);
    address->family = AF_INET6;
  }
  if (found.size != address->size()) return false;
  memcpy(address->bytes, found.data, found.size);
  return true;
}

bool ReadTuple(Span tuple, Flow* flow) {
  const Span ip = Find(tuple, CTA_TUPLE_IP);
  const Span protocol = Find(tuple, CTA_TUPLE_PROTO);
  if (!ReadAddress(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC, &flow->source) ||
      !ReadAddress(ip, CTA_IP_V4_DST, CTA_IP_V6_DST, &flow->destination)) {
    return false;
  }
  flow->protocol = Find(protocol, CTA_PROTO_NUM).U8();
  flow->source.port = Find(protocol, CTA_PROTO_SRC_PORT).U16();
  flow->destination.port = Find(protocol, CTA_PROTO_DST_PORT).U16();
  return true;
}

void WriteNested(Writer* out, uint16_t type, const Writer& content) {
  out->Attribute(static_cast<uint16_t>(type | NLA_F_NESTED), content.data(), content.size());
}

void WriteTuple(Writer* out, const Flow& flow) {
  const bool v4 = flow.source.family == AF_INET;
  Writer ip, protocol, tuple;
  ip.Attribute(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, flow.source.bytes, flow.source.size());
  ip.Attribute(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, flow.destination.bytes, flow.destination.size());
  const uint16_t source = htons(flow.source.port), destination = htons(flow.destination.port);
  protocol.Attribute(CTA_PROTO_NUM, &flow.protocol, 1);
  protocol.Attribute(CTA_PROTO_SRC_PORT, &source, sizeof source);
  protocol.Attribute(CTA_PROTO_DST_PORT, &destination, sizeof destination);
  WriteNested(&tuple, CTA_TUPLE_IP, ip);
  WriteNested(&tuple, CTA_TUPLE_PROTO, protocol);
  WriteNested(out, CTA_TUPLE_ORIG, tuple);
}

}  // namespace

Connections::Connections(const engine::Cells& cells, const Services& services, Health* health)
    : cells_(cells),
      services_(services),
      health_(health),
      changes_(OpenEvents()),
      list_(OpenNetfilter(kBufferBytes, true)) {}

bool Connections::Read(Milliseconds now) {
  const Events read = ReadEvents(now);
  if (read == Events::kLost) {
    lost_++;
    in_doubt_ = true;
  }
  if (is_listing_) ReadList(now);
  Expire(now);
  MaybeList(now);
  return read == Events::kMore || is_listing_;
}

Connections::Events Connections::ReadEvents(Milliseconds now) {
  for (int i = 0; i < kEventShare; i += events_.most()) {
    const int count = events_.Receive(changes_.get());
    if (count < 0) return errno == ENOBUFS ? Events::kLost : Events::kAll;
    events_.ForEach(count, [&](const Message& message) { Take(message, false, now); });
    if (count < events_.most()) return Events::kAll;
  }
  return Events::kMore;
}

void Connections::Take(const Message& message, bool is_listed, Milliseconds now) {
  const Span attributes = message.attributes;
  const uint32_t id = Find(attributes, CTA_ID).U32();
  const uint32_t status = Find(attributes, CTA_STATUS).U32();
  Flow original, reply;
  if ((status & IPS_DST_NAT) == 0 || !ReadTuple(Find(attributes, CTA_TUPLE_REPLY), &reply)) return;
  uint32_t cell;
  const bool is_ours = services_.CellOf({reply.source, reply.protocol}, &cell);
  const Span tcp = Find(Find(attributes, CTA_PROTOINFO), CTA_PROTOINFO_TCP);
  const uint8_t state = Find(tcp, CTA_PROTOINFO_TCP_STATE).U8();
  const bool is_answered = (status & IPS_SEEN_REPLY) != 0;
  const bool is_closed = state == TCP_CONNTRACK_TIME_WAIT || state == TCP_CONNTRACK_CLOSE;
  if (message.type == kDelete || (message.type == kNew && is_closed && reply.protocol == IPPROTO_TCP)) {
    if (is_ours && is_answered && !is_listed) health_->Answered(cell);
    // A first packet that is answered by RST ends its entry at once.
    if (is_ours && !is_answered && state == TCP_CONNTRACK_CLOSE) health_->Failed(cell, Failure::kRefused, now);
    if (is_listing_) ended_meanwhile_.insert(id);
    Remove(id);
    return;
  }
  if (message.type != kNew || !is_ours) return;
  if (is_listed && ended_meanwhile_.count(id) != 0) return;
  if (ReadTuple(Find(attributes, CTA_TUPLE_ORIG), &original)) {
    Decision* decision = DecisionFor(original);
    if (decision != nullptr && decision->counts) {
      // From here on the connection itself counts, wherever it went.
      decision->counts = false;
      decision->id = id;
      engine::Subtract(cells_.endpoint(decision->cell).active, 1);
    }
  }
  Add(id, cell, !is_listed);
}

void Connections::Add(uint32_t id, uint32_t cell, bool is_told) {
  const auto found = known_.find(id);
  if (found != known_.end()) {
    found->second.round = round_;
    if (found->second.cell == cell) return;
    engine::Subtract(cells_.endpoint(found->second.cell).active, 1);
    engine::Add(cells_.endpoint(cell).active, 1);
    found->second.cell = cell;
    return;
  }
  if (known_.size() >= kMostConnections) return;
  known_.emplace(id, Known{cell, round_, is_told});
  if (!is_told) untold_++;
  engine::Add(cells_.endpoint(cell).active, 1);
}

void Connections::Remove(uint32_t id) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  engine::Subtract(cells_.endpoint(found->second.cell).active, 1);
  if (!found->second.is_told) untold_--;
  known_.erase(found);
}

Decision* Connections::DecisionFor(const Flow& flow) {
  const auto found = decisions_.find(flow);
  return found == decisions_.end() ? nullptr : &found->second;
}

void Connections::Chosen(const Flow& flow, uint32_t cell, uint16_t number, Milliseconds now) {
  if (decisions_.size() >= kMostDecisions) return;
  Decision decision{cell, number, 0, true, now, flow.sequence, 0};
  if (!decisions_.emplace(flow, decision).second) return;
  engine::Add(cells_.endpoint(cell).active, 1);
  expiries_.emplace_back(now + kRemember, flow);
}

void Connections::Forget(const Flow& flow, const Decision& decision) {
  Writer writer;
  writer.Begin(kDelete, 0, flow.source.family, 0);
  WriteTuple(&writer, flow);
  writer.U32(CTA_ID, decision.id);
  writer.End();
  Send(list_.get(), writer);
  Settle(flow);
}

void Connections::Settle(const Flow& flow) {
  const auto found = decisions_.find(flow);
  if (found != decisions_.end()) Settle(found);
}

void Connections::Settle(std::unordered_map<Flow, Decision, FlowHash>::iterator decision) {
  if (decision->second.counts) engine::Subtract(cells_.endpoint(decision->second.cell).active, 1);
  decisions_.erase(decision);
}

// A first packet that never became a connection stops counting.
void Connections::Expire(Milliseconds now) {
  while (!expiries_.empty() && expiries_.front().first <= now) {
    const Flow flow = expiries_.front().second;
    expiries_.pop_front();
    const auto found = decisions_.find(flow);
    // It may have been forgotten and chosen for again since.
    if (found != decisions_.end() && found->second.since + kRemember <= now) Settle(found);
  }
}

void Connections::MaybeList(Milliseconds now) {
  if (is_listing_) {
    // The kernel did not go on.
    if (Since(now, list_began_) > kListTakesAtMost) GiveUpList(now);
    return;
  }
  if (in_doubt_) next_list_ = std::min(next_list_, std::max(now, list_began_ + kSoon));
  if (now < next_list_) return;
  Writer writer;
  writer.Begin(kGet, NLM_F_DUMP, AF_UNSPEC, 0, round_ + 1);
  // Kernels that do not know the mask tell of all.
  writer.U32(CTA_STATUS, IPS_DST_NAT);
  writer.U32(kStatusMask, IPS_DST_NAT);
  writer.End();
  if (!Send(list_.get(), writer)) {
    next_list_ = now + kWithUntold;
    return;
  }
  in_doubt_ = false;
  is_listing_ = true;
  list_began_ = now;
  round_++;
  ended_meanwhile_.clear();
}

void Connections::ReadList(Milliseconds now) {
  static thread_local uint8_t buffer[kReadBytes];
  for (int i = 0; i < kListShare && is_listing_; i++) {
    const ssize_t got = recv(list_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      if (errno == EAGAIN) return;
      GiveUpList(now);
      return;
    }
    bool is_whole = true;
    bool has_ended = false;
    bool has_failed = false;
    ForEachMessage(buffer, static_cast<size_t>(got), [&](const Message& message) {
      // The answer to a deletion: that connection is gone already.
      if (message.sequence != round_) return;
      if ((message.flags & NLM_F_DUMP_INTR) != 0) is_whole = false;
      if (message.type == NLMSG_DONE) has_ended = true;
      else if (message.type == NLMSG_ERROR) has_failed = true;
      else Take(message, true, now);
    });
    if (has_failed) {
      GiveUpList(now);
      return;
    }
    if (!is_whole) in_doubt_ = true;
    if (has_ended) EndList(now);
  }
}

// The kernel has one list at a time for a socket, and goes on with it until the socket is closed.
void Connections::GiveUpList(Milliseconds now) {
  is_listing_ = false;
  ended_meanwhile_.clear();
  next_list_ = now + kSoon;
  try {
    list_ = OpenNetfilter(kBufferBytes, true);
  } catch (const std::system_error&) {
    // Until the list before is read to its end the next ones fail; this is tried again after each.
  }
}

void Connections::EndList(Milliseconds now) {
  is_listing_ = false;
  recounted_++;
  ended_meanwhile_.clear();
  if (!in_doubt_) {
    for (auto each = known_.begin(); each != known_.end();) {
      const auto next = std::next(each);
      if (each->second.round != round_) Remove(each->first);
      each = next;
    }
  }
  const Milliseconds pause = untold_ > 0 ? kWithUntold : kSeldom;
  next_list_ = now + std::max(pause, Since(now, list_began_) * kListShareOfTime);
}

}  // namespace penstock::choice
