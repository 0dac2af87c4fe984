#include "datagrams.h"

#include <netinet/in.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace penstock::engine {

DatagramBatch::DatagramBatch() : bytes_(new uint8_t[kMost * kBytes]) {
  memset(messages_, 0, sizeof messages_);
  for (size_t i = 0; i < kMost; i++) {
    vectors_[i].iov_base = bytes_.get() + i * kBytes;
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

void DatagramBatch::Send(int fd, size_t first, size_t count) {
  for (size_t i = first; i < first + count; i++) {
    msghdr& header = messages_[i].msg_hdr;
    vectors_[i].iov_len = messages_[i].msg_len;
    header.msg_name = nullptr;
    header.msg_namelen = 0;
    header.msg_control = nullptr;
    header.msg_controllen = 0;
  }
  for (size_t sent = 0; sent < count;) {
    const int done =
        sendmmsg(fd, messages_ + first + sent, static_cast<unsigned>(count - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
    // One that cannot be sent is left out; an error of the datagrams before is told once.
    sent += done <= 0 ? 1 : static_cast<size_t>(done);
  }
}

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
  for (size_t i = 0; i < count; i++) {
    msghdr& message = messages_[i].msg_hdr;
    vectors_[i].iov_len = messages_[i].msg_len;
    message.msg_name = const_cast<sockaddr*>(&to.any);
    message.msg_namelen = to.length;
    message.msg_control = control;
    message.msg_controllen = control_length;
  }
  for (size_t sent = 0; sent < count;) {
    const int done =
        sendmmsg(fd, messages_ + sent, static_cast<unsigned>(count - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
    sent += done <= 0 ? 1 : static_cast<size_t>(done);
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
