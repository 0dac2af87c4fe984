// Netlink as the thread that chooses needs it: attributes are read in place, messages are written into a buffer of its own.
#ifndef PENSTOCK_CHOICE_NETLINK_H_
#define PENSTOCK_CHOICE_NETLINK_H_

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../unique_fd.h"

namespace penstock::choice {

// The content of an attribute; nothing when it is absent.
struct Span {
  const uint8_t* data = nullptr;
  size_t size = 0;

  explicit operator bool() const { return data != nullptr; }
  uint8_t U8() const { return size >= 1 ? data[0] : 0; }
  uint16_t U16() const { return size >= 2 ? static_cast<uint16_t>(data[0] << 8 | data[1]) : 0; }
  uint32_t U32() const {
    return size >= 4 ? uint32_t{data[0]} << 24 | uint32_t{data[1]} << 16 | uint32_t{data[2]} << 8 | data[3] : 0;
  }
};

// The first attribute of the type before the first malformed one.
inline Span Find(Span attributes, uint16_t type) {
  for (size_t at = 0; at + NLA_HDRLEN <= attributes.size;) {
    nlattr header;
    memcpy(&header, attributes.data + at, sizeof header);
    if (header.nla_len < NLA_HDRLEN || at + header.nla_len > attributes.size) return {};
    if ((header.nla_type & NLA_TYPE_MASK) == type)
      return {attributes.data + at + NLA_HDRLEN, static_cast<size_t>(header.nla_len - NLA_HDRLEN)};
    at += NLA_ALIGN(header.nla_len);
  }
  return {};
}

struct Message {
  uint16_t type;  // subsystem << 8 | message, or NLMSG_…
  uint16_t flags;
  uint32_t sequence;  // of the question that it answers
  Span attributes;  // after struct nfgenmsg
  Span payload;
};

// Calls `take` with each message of a datagram.
template <typename Take>
void ForEachMessage(const uint8_t* data, size_t size, Take take) {
  for (size_t at = 0; at + NLMSG_HDRLEN <= size;) {
    nlmsghdr header;
    memcpy(&header, data + at, sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN || at + header.nlmsg_len > size) return;
    const Span payload{data + at + NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN};
    Span attributes;
    if (payload.size >= sizeof(nfgenmsg)) attributes = {payload.data + sizeof(nfgenmsg), payload.size - sizeof(nfgenmsg)};
    take(Message{header.nlmsg_type, header.nlmsg_flags, header.nlmsg_seq, attributes, payload});
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
}

class Writer {
 public:
  void Begin(uint16_t type, uint16_t flags, uint8_t family, uint16_t resource, uint32_t sequence = 0);
  void Attribute(uint16_t type, const void* data, size_t size);
  void U32(uint16_t type, uint32_t value);
  void End();
  void Clear() { bytes_.clear(); }
  bool IsEmpty() const { return bytes_.empty(); }
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }

 private:
  void Put(const void* data, size_t size);

  std::vector<uint8_t> bytes_;
  size_t begin_ = 0;
};

// Bound to a port of its own, not blocking; loss is not told as an error unless `tells_loss`. Throws std::system_error.
UniqueFd OpenNetfilter(int receive_buffer_bytes, bool tells_loss);

// For the first datagram, as long as the socket says (SO_RCVTIMEO), or not at all.
enum class Waiting { kNot, kForOne };

// Datagrams that wait at a socket, as many as one call brings: a call for each, and one to learn that no more is there, cost more than
// what is done with them.
template <size_t kMost, size_t kRoom>
class Inbox {
 public:
  Inbox() {
    for (size_t i = 0; i < kMost; i++) {
      parts_[i] = {room_[i], kRoom};
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Less than 0: errno. Fewer than kMost: nothing else waited, or the next call says why it failed.
  int Receive(int socket, Waiting waiting = Waiting::kNot) {
    const int how = waiting == Waiting::kNot ? MSG_DONTWAIT : MSG_WAITFORONE;
    int count;
    do {
      count = recvmmsg(socket, messages_, kMost, how, nullptr);
    } while (count < 0 && errno == EINTR);
    return count;
  }

  // Calls `take` with each message of the first `count` datagrams.
  template <typename Take>
  void ForEach(int count, Take take) const {
    for (int i = 0; i < count; i++) ForEachMessage(room_[i], messages_[i].msg_len, take);
  }

  static constexpr int most() { return static_cast<int>(kMost); }

 private:
  mmsghdr messages_[kMost];
  iovec parts_[kMost];
  uint8_t room_[kMost][kRoom];
};

// The kernel's answer to what was sent last with NLM_F_ACK, 0 or an errno. Waits a second at most.
int AwaitAnswer(int socket);

bool Send(int socket, const Writer& writer);

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_NETLINK_H_
