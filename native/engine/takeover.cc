#include "takeover.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

namespace penstock::engine {

namespace {

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

// SCM_MAX_FD is 253.
constexpr size_t kSocketsEach = 64;
constexpr int kAnswerMs = 2000;
// The new process reads the whole cluster before it listens.
constexpr int kConfirmMs = 300'000;
constexpr char kHello = 'h';
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
constexpr uint32_t kVersion = 2;

// False when the path does not fit.
bool SocketAddressOf(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address->sun_path) return false;
  memcpy(address->sun_path, path.data(), path.size());
  return true;
}

bool IsOurs(uid_t user) { return user == 0 || user == geteuid(); }

// Nobody else can have put anything into the folder of `path`.
bool IsInTrustedFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return false;
  struct stat folder{};
  return lstat(path.substr(0, slash).c_str(), &folder) == 0 && S_ISDIR(folder.st_mode) && IsOurs(folder.st_uid) &&
         (folder.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool Connect(int fd, const std::string& path) {
  sockaddr_un address;
  struct stat own{};
  if (!SocketAddressOf(path, &address) || !IsInTrustedFolder(path)) return false;
  if (lstat(path.c_str(), &own) != 0 || !S_ISSOCK(own.st_mode) || !IsOurs(own.st_uid)) return false;
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool WaitFor(int fd, int ms) {
  pollfd wanted{fd, POLLIN, 0};
  return poll(&wanted, 1, ms) == 1;
}

// The same user as we are, or root.
bool IsTrusted(int peer) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 && IsOurs(credentials.uid);
}

// A socket that only CAP_NET_ADMIN can have made: SO_DEBUG is set (socket(7)). -1 without that capability. To be root is no
// proof: containers are, often without any capability.
int OpenProof() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_DEBUG, &on, sizeof on) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

uint64_t NamespaceOf(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  // Linux before 5.14 does not tell.
  return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

bool IsProof(int fd) {
  int debug = 0;
  socklen_t length = sizeof debug;
  if (getsockopt(fd, SOL_SOCKET, SO_DEBUG, &debug, &length) != 0 || debug != 1) return false;
  const int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool here = own >= 0 && NamespaceOf(own) == NamespaceOf(fd);
  if (own >= 0) close(own);
  return here;
}

// One byte and, if there is one, the proof.
bool SendProof(int peer) {
  const int proof = OpenProof();
  char hello = kHello;
  iovec vector{&hello, 1};
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (proof >= 0) {
    auto* header = reinterpret_cast<cmsghdr*>(control);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &proof, sizeof proof);
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  const bool sent = sendmsg(peer, &message, MSG_NOSIGNAL) == 1;
  if (proof >= 0) close(proof);
  return sent;
}

// Whether the other side may do what we may. Who has no proof himself (a user namespace) asks for none.
bool ReceiveProof(int peer) {
  char hello = 0;
  iovec vector{&hello, 1};
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(4 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(peer, &message, MSG_CMSG_CLOEXEC) != 1) return false;
  bool proven = false;
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
      proven = proven || IsProof(fd);
      close(fd);
    }
  }
  if (!proven) {
    const int own = OpenProof();
    proven = own < 0;
    if (own >= 0) close(own);
  }
  return proven && hello == kHello;
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

TakeoverServer::TakeoverServer(const std::string& path, std::vector<ListeningSocket> sockets,
                               std::function<void()> taken)
    : path_(path), sockets_(std::move(sockets)), taken_(std::move(taken)) {
  // Without it the thread could not be ended.
  stop_.Reset(eventfd(0, EFD_CLOEXEC));
  if (!stop_.is_open()) throw std::system_error(errno, std::generic_category(), "eventfd");
  fd_.Reset(Listen());
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (...) {
    Withdraw();
    throw;
  }
}

// Throws std::system_error.
int TakeoverServer::Listen() const {
  const auto fail = [](int error) {
    throw std::system_error(error, std::generic_category(), "offering the listening sockets to a successor");
  };
  sockaddr_un address;
  if (!SocketAddressOf(path_, &address)) fail(ENAMETOOLONG);
  // It stays when it is there.
  mkdir(path_.substr(0, path_.rfind('/')).c_str(), 0700);
  if (!IsInTrustedFolder(path_)) fail(EPERM);
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(errno);
  const auto bound = [&] { return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0; };
  bool good = bound();
  if (!good && errno == EADDRINUSE && !IsAnswered()) {
    // Left over by a process that was killed.
    unlink(path_.c_str());
    good = bound();
  }
  // Linux asks for write permission of whoever connects. Until then nobody can: it does not listen.
  good = good && chmod(path_.c_str(), S_IRUSR | S_IWUSR) == 0 && listen(fd, 1) == 0;
  if (good) return fd;
  const int error = errno;
  close(fd);
  fail(error);
  return -1;
}

bool TakeoverServer::IsAnswered() const {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const bool connected = Connect(fd, path_);
  const bool refused = !connected && errno == ECONNREFUSED;
  close(fd);
  return !refused;
}

TakeoverServer::~TakeoverServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
  if (fd_.is_open()) Withdraw();
}

void TakeoverServer::Withdraw() {
  unlink(path_.c_str());
  fd_.Reset();
}

void TakeoverServer::Run() {
  for (;;) {
    pollfd wanted[2] = {{fd_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(wanted, 2, -1) < 0) continue;
    if (wanted[1].revents != 0) return;
    const int peer = accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) continue;
    const bool handed_over = IsTrusted(peer) && HandOver(peer);
    close(peer);
    if (!handed_over) continue;
    // The path is the successor's from now on.
    Withdraw();
    taken_();
    return;
  }
}

bool TakeoverServer::HandOver(int peer) {
  pollfd first[2] = {{peer, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  if (poll(first, 2, kAnswerMs) <= 0 || first[1].revents != 0 || !ReceiveProof(peer)) return false;
  if (!SendSockets(peer, sockets_)) return false;
  pollfd wanted[2] = {{peer, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  char word = 0;
  if (poll(wanted, 2, kConfirmMs) <= 0 || wanted[1].revents != 0) return false;
  return recv(peer, &word, 1, 0) == 1 && word == kReady;
}

Takeover::Takeover(const std::string& path) {
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || !Connect(fd_, path) || !IsTrusted(fd_) || !SendProof(fd_)) return;
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
