#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <system_error>

namespace penstock::choice {

namespace {

constexpr int kAnswerMs = 1000;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

void Writer::Put(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), bytes, bytes + size);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void Writer::Begin(uint16_t type, uint16_t flags, uint8_t family, uint16_t resource, uint32_t sequence) {
  begin_ = bytes_.size();
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header.nlmsg_seq = sequence;
  nfgenmsg netfilter{};
  netfilter.nfgen_family = family;
  netfilter.res_id = htons(resource);
  Put(&header, sizeof header);
  Put(&netfilter, sizeof netfilter);
}

void Writer::Attribute(uint16_t type, const void* data, size_t size) {
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + size), type};
  Put(&header, sizeof header);
  Put(data, size);
}

void Writer::U32(uint16_t type, uint32_t value) {
  const uint32_t network = htonl(value);
  Attribute(type, &network, sizeof network);
}

void Writer::End() {
  const uint32_t length = static_cast<uint32_t>(bytes_.size() - begin_);
  memcpy(bytes_.data() + begin_, &length, sizeof length);
}

UniqueFd OpenNetfilter(int receive_buffer_bytes, bool tells_loss) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!socket.is_open()) Fail("socket");
  const int on = 1;
  setsockopt(socket.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (!tells_loss) setsockopt(socket.get(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof receive_buffer_bytes) != 0)
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("bind");
  return socket;
}

int AwaitAnswer(int socket) {
  uint8_t buffer[4096];
  for (;;) {
    pollfd waiting{socket, POLLIN, 0};
    const int ready = poll(&waiting, 1, kAnswerMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return ETIMEDOUT;
    const ssize_t got = recv(socket, buffer, sizeof buffer, 0);
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return errno;
    }
    int answer = -1;
    ForEachMessage(buffer, static_cast<size_t>(got), [&](const Message& message) {
      if (message.type != NLMSG_ERROR || message.payload.size < sizeof(int)) return;
      int error;
      memcpy(&error, message.payload.data, sizeof error);
      answer = -error;
    });
    if (answer >= 0) return answer;
  }
}

bool Send(int socket, const Writer& writer) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = sendto(socket, writer.data(), writer.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace penstock::choice
