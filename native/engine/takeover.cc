#include "takeover.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

namespace penstock::engine {

namespace {

// SCM_MAX_FD is 253.
constexpr size_t kSocketsEach = 64;
constexpr int kAnswerMs = 2000;
// The new process reads the whole cluster before it listens.
constexpr int kConfirmMs = 300'000;
constexpr char kReady = 'r';

// As it is sent. Both sides are penstock of this machine, of versions that may differ: the first field tells.
struct SocketNote {
  uint32_t version;
  uint32_t total;  // sockets in all messages
  uint16_t port;
  uint8_t protocol;
  uint8_t family;
  uint8_t side;
  uint8_t padding[3];
};
constexpr uint32_t kVersion = 1;

sockaddr_un AbstractAddress(const std::string& name, socklen_t* length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t size = std::min(name.size(), sizeof address.sun_path - 1);
  memcpy(address.sun_path + 1, name.data(), size);
  *length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  return address;
}

bool WaitFor(int fd, int ms) {
  pollfd wanted{fd, POLLIN, 0};
  return poll(&wanted, 1, ms) == 1;
}

// The same user as we are, or root.
bool IsTrusted(int peer) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return false;
  return credentials.uid == 0 || credentials.uid == geteuid();
}

bool SendSockets(int peer, const std::vector<ListeningSocket>& sockets) {
  for (size_t first = 0; first < sockets.size(); first += kSocketsEach) {
    const size_t count = std::min(kSocketsEach, sockets.size() - first);
    SocketNote notes[kSocketsEach];
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(kSocketsEach * sizeof(int))] = {};
    auto* header = reinterpret_cast<cmsghdr*>(control);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++) {
      const ListeningSocket& socket = sockets[first + i];
      notes[i] = {kVersion,      static_cast<uint32_t>(sockets.size()), socket.port, socket.protocol,
                  socket.family, static_cast<uint8_t>(socket.side),     {}};
      memcpy(CMSG_DATA(header) + i * sizeof(int), &socket.fd, sizeof(int));
    }
    iovec vector{notes, count * sizeof(SocketNote)};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    if (sendmsg(peer, &message, MSG_NOSIGNAL) < 0) return false;
  }
  return true;
}

// Adds what one message brings; false when it is none of ours.
bool ReceiveSockets(int peer, std::vector<ListeningSocket>* sockets, size_t* total) {
  SocketNote notes[kSocketsEach];
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(kSocketsEach * sizeof(int))];
  iovec vector{notes, sizeof notes};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return false;
  const size_t count = static_cast<size_t>(got) / sizeof(SocketNote);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return false;
  const size_t descriptors = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  bool good = descriptors == count && got % sizeof(SocketNote) == 0;
  for (size_t i = 0; i < descriptors; i++) {
    int fd;
    memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
    if (good && notes[i].version == kVersion) {
      sockets->push_back({fd, notes[i].protocol, notes[i].family, static_cast<Side>(notes[i].side), notes[i].port});
      *total = notes[i].total;
    } else {
      close(fd);
      good = false;
    }
  }
  return good;
}

}  // namespace

TakeoverServer::TakeoverServer(const std::string& name, std::vector<ListeningSocket> sockets,
                               std::function<void()> taken)
    : sockets_(std::move(sockets)), taken_(std::move(taken)) {
  socklen_t length;
  const sockaddr_un address = AbstractAddress(name, &length);
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&address), length) != 0 || listen(fd_, 1) != 0) {
    const int error = errno;
    if (fd_ >= 0) close(fd_);
    throw std::system_error(error, std::generic_category(), "offering the listening sockets to a successor");
  }
  stop_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { Run(); });
}

TakeoverServer::~TakeoverServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_, &one, sizeof one);
  thread_.join();
  close(stop_);
  if (fd_ >= 0) close(fd_);
}

void TakeoverServer::Run() {
  for (;;) {
    pollfd wanted[2] = {{fd_, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (poll(wanted, 2, -1) < 0) continue;
    if (wanted[1].revents != 0) return;
    const int peer = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) continue;
    const bool handed_over = IsTrusted(peer) && HandOver(peer);
    close(peer);
    if (!handed_over) continue;
    // The name is the successor's from now on.
    close(fd_);
    fd_ = -1;
    taken_();
    return;
  }
}

bool TakeoverServer::HandOver(int peer) {
  if (!SendSockets(peer, sockets_)) return false;
  pollfd wanted[2] = {{peer, POLLIN, 0}, {stop_, POLLIN, 0}};
  char word = 0;
  if (poll(wanted, 2, kConfirmMs) <= 0 || wanted[1].revents != 0) return false;
  return recv(peer, &word, 1, 0) == 1 && word == kReady;
}

Takeover::Takeover(const std::string& name) {
  socklen_t length;
  const sockaddr_un address = AbstractAddress(name, &length);
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&address), length) != 0 || !IsTrusted(fd_)) return;
  size_t total = 1;
  while (sockets_.size() < total && WaitFor(fd_, kAnswerMs) && ReceiveSockets(fd_, &sockets_, &total)) {
  }
  if (sockets_.size() == total) return;
  for (const ListeningSocket& socket : sockets_) close(socket.fd);
  sockets_.clear();
}

Takeover::~Takeover() {
  for (const ListeningSocket& socket : sockets_) close(socket.fd);
  if (fd_ >= 0) close(fd_);
}

void Takeover::Confirm() {
  if (fd_ < 0) return;
  // A predecessor that is gone need not be told.
  [[maybe_unused]] const ssize_t sent = send(fd_, &kReady, 1, MSG_NOSIGNAL);
  close(fd_);
  fd_ = -1;
}

}  // namespace penstock::engine
