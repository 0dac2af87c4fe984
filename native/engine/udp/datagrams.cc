#include "datagrams.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace penstock::engine {

namespace {

// Longer ones may not fit into a packet of the way, of which we know nothing; the kernel refuses to cut those.
constexpr size_t kLongestInRun = 1232;  // 1280 bytes, which every link of IPv6 carries, without headers
constexpr size_t kMostBytesInRun = 60'000;

}  // namespace

DatagramBatch::DatagramBatch() : bytes_(new uint8_t[kMost * kStride]) {
  memset(messages_, 0, sizeof messages_);
  memset(out_, 0, sizeof out_);
  for (size_t i = 0; i < kMost; i++) {
    vectors_[i].iov_base = bytes_.get() + i * kStride;
    messages_[i].msg_hdr.msg_iov = &vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

DatagramBatch& DatagramBatch::OfThread() {
  thread_local DatagramBatch batch;
  return batch;
}

int DatagramBatch::Receive(int fd, size_t most) {
  for (size_t i = 0; i < most; i++) {
    vectors_[i].iov_len = kBytes;
    msghdr& header = messages_[i].msg_hdr;
    header.msg_name = &sources_[i];
    header.msg_namelen = sizeof sources_[i].v6;
    header.msg_control = controls_[i];
    header.msg_controllen = kControlBytes;
    header.msg_flags = 0;
  }
  return recvmmsg(fd, messages_, static_cast<unsigned>(most), MSG_DONTWAIT, nullptr);
}

void DatagramBatch::Send(int fd, size_t first, size_t count) { Transmit(fd, first, count, {}); }

void DatagramBatch::SendTo(int fd, size_t count, const SocketAddress& to, const Address& local) {
  alignas(8) uint8_t control[kControlBytes] = {};
  auto* header = reinterpret_cast<cmsghdr*>(control);
  size_t control_length;
  if (local.family == AF_INET) {
    in_pktinfo info{};
    memcpy(&info.ipi_spec_dst, local.bytes, 4);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    control_length = CMSG_SPACE(sizeof info);
  } else {
    in6_pktinfo info{};
    memcpy(&info.ipi6_addr, local.bytes, 16);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    control_length = CMSG_SPACE(sizeof info);
  }
  Transmit(fd, 0, count, {&to, control, control_length});
}

void DatagramBatch::Transmit(int fd, size_t first, size_t count, const Envelope& envelope) {
  const size_t end = first + count;
  Run runs[kMost];
  size_t ready = 0;
  for (size_t at = first; at < end; at += runs[ready++].count) {
    runs[ready] = RunFrom(at, end);
    Prepare(ready, runs[ready], envelope);
  }
  for (size_t sent = 0; sent < ready;) {
    const int done = sendmmsg(fd, out_ + sent, static_cast<unsigned>(ready - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done > 0) {
      sent += static_cast<size_t>(done);
      continue;
    }
    // The first of the rest cannot be sent: a link too narrow, a device that cannot cut, or an error of datagrams before,
    // which is told once. One alone is left out.
    if (runs[sent].count > 1) SendEach(fd, runs[sent], envelope);
    sent++;
  }
}

DatagramBatch::Run DatagramBatch::RunFrom(size_t at, size_t end) const {
  const size_t each = length(at);
  Run run{at, 1};
  if (each == 0 || each > kLongestInRun) return run;
  size_t bytes = each;
  while (at + run.count < end) {
    const size_t next = length(at + run.count);
    bytes += next;
    if (next == 0 || next > each || bytes > kMostBytesInRun) break;
    run.count++;
    if (next < each) break;
  }
  return run;
}

void DatagramBatch::Prepare(size_t slot, const Run& run, const Envelope& envelope) {
  for (size_t i = run.first; i < run.first + run.count; i++) vectors_[i].iov_len = length(i);
  msghdr& message = out_[slot].msg_hdr;
  message.msg_iov = &vectors_[run.first];
  message.msg_iovlen = run.count;
  message.msg_name = envelope.to == nullptr ? nullptr : const_cast<sockaddr*>(&envelope.to->any);
  message.msg_namelen = envelope.to == nullptr ? 0 : envelope.to->length;
  uint8_t* const control = out_controls_[slot];
  size_t control_length = envelope.control_length;
  if (control_length > 0) memcpy(control, envelope.control, control_length);
  if (run.count > 1) {
    const uint16_t each = static_cast<uint16_t>(length(run.first));
    auto* header = reinterpret_cast<cmsghdr*>(control + control_length);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof each);
    memcpy(CMSG_DATA(header), &each, sizeof each);
    control_length += CMSG_SPACE(sizeof each);
  }
  message.msg_control = control_length == 0 ? nullptr : control;
  message.msg_controllen = control_length;
}

void DatagramBatch::SendEach(int fd, const Run& run, const Envelope& envelope) {
  for (size_t i = run.first; i < run.first + run.count; i++) {
    msghdr message{};
    message.msg_iov = &vectors_[i];
    message.msg_iovlen = 1;
    message.msg_name = envelope.to == nullptr ? nullptr : const_cast<sockaddr*>(&envelope.to->any);
    message.msg_namelen = envelope.to == nullptr ? 0 : envelope.to->length;
    message.msg_control = const_cast<uint8_t*>(envelope.control);
    message.msg_controllen = envelope.control_length;
    sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

Address DatagramBatch::LocalAddress(size_t i) const {
  Address out;
  msghdr header = messages_[i].msg_hdr;
  for (cmsghdr* message = CMSG_FIRSTHDR(&header); message != nullptr; message = CMSG_NXTHDR(&header, message)) {
    if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      memcpy(&info, CMSG_DATA(message), sizeof info);
      out.family = AF_INET;
      memcpy(out.bytes, &info.ipi_addr, 4);
    } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      memcpy(&info, CMSG_DATA(message), sizeof info);
      out.family = AF_INET6;
      memcpy(out.bytes, &info.ipi6_addr, 16);
    }
  }
  return out;
}

}  // namespace penstock::engine
