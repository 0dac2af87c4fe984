#include "netlink_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "napi_support.h"

namespace penstock {

namespace {

// The kernel makes datagrams of at most 32 KiB for a dump, and answers of at most 64 KiB, the most that an attribute holds.
constexpr size_t kLargestDatagram = 128 * 1024;

struct OpenRequest {
  int protocol;
  int netns;  // a file descriptor
  int fd;
  int error;
  const char* failed;
};

void OpenSocket(OpenRequest* request) {
  request->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, request->protocol);
  if (request->fd < 0) {
    request->error = errno;
    request->failed = "socket";
  }
}

void* OpenSocketInNamespace(void* data) {
  OpenRequest* request = static_cast<OpenRequest*>(data);
  if (setns(request->netns, CLONE_NEWNET) == 0) {
    OpenSocket(request);
  } else {
    request->error = errno;
    request->failed = "setns";
  }
  return nullptr;
}

// A socket belongs for ever to the namespace of the thread that made it. A thread of its own enters the other
// namespace and ends: the calling thread never leaves its own, so there is no way back that could fail.
void OpenOnOwnThread(OpenRequest* request, const char* path) {
  request->netns = open(path, O_RDONLY | O_CLOEXEC);
  if (request->netns < 0) {
    request->error = errno;
    request->failed = "open";
    return;
  }
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, OpenSocketInNamespace, request);
  if (error == 0) {
    pthread_join(thread, nullptr);
  } else {
    request->error = error;
    request->failed = "pthread_create";
  }
  close(request->netns);
}

// The multicast group that a datagram was sent to, 0 for an answer to this socket (NETLINK_PKTINFO).
uint32_t GroupOf(msghdr* message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level == SOL_NETLINK && part->cmsg_type == NETLINK_PKTINFO) {
      nl_pktinfo info;
      memcpy(&info, CMSG_DATA(part), sizeof info);
      return info.group;
    }
  }
  return 0;
}

}  // namespace

// The part that libuv holds. It outlives the socket by one turn of the loop, until libuv has let go of the handle.
struct NetlinkSocket::Watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  NetlinkSocket* owner;
  napi_async_cleanup_hook_handle hook;

  static void OnReadable(uv_poll_t* poll, int status, int events);
  // The environment (process or worker) ends: the handle must be gone before its loop is.
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
    Watch* watch = static_cast<Watch*>(data);
    if (watch->owner != nullptr) watch->owner->StopWatching(watch->env);
  }
  static void OnClosed(uv_handle_t* handle) {
    Watch* watch = static_cast<Watch*>(handle->data);
    napi_remove_async_cleanup_hook(watch->hook);
    delete watch;
  }
};

void NetlinkSocket::Watch::OnReadable(uv_poll_t* poll, int status, int) {
  Watch* watch = static_cast<Watch*>(poll->data);
  NetlinkSocket* socket = watch->owner;
  napi_env env = watch->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value self, callback;  // `self` also keeps the socket alive when the callback closes it
  if (napi_get_reference_value(env, socket->wrapper_, &self) == napi_ok &&
      napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_make_callback(env, nullptr, self, callback, 0, nullptr, nullptr) == napi_pending_exception) {
    napi_value thrown;
    if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
  }
  // libuv ends a watch on EPOLLERR, which is how lost messages (ENOBUFS) show: go on with it.
  if (status < 0 && socket->watch_ == watch) uv_poll_start(poll, UV_READABLE, OnReadable);
  napi_close_handle_scope(env, scope);
}

NetlinkSocket* NetlinkSocket::Open(napi_env env, int protocol, const std::string& netns) {
  OpenRequest request{protocol, -1, -1, 0, nullptr};
  if (netns.empty()) {
    OpenSocket(&request);
  } else {
    OpenOnOwnThread(&request, netns.c_str());
  }
  if (request.failed != nullptr) {
    const std::string what = "netlink socket of protocol " + std::to_string(protocol) + " cannot be opened" +
                             (netns.empty() ? "" : " in network namespace " + netns);
    ThrowSystemError(env, request.error, request.failed, what);
    return nullptr;
  }
  NetlinkSocket* made = new (std::nothrow) NetlinkSocket(request.fd);
  if (made == nullptr) {
    close(request.fd);
    ThrowSystemError(env, ENOMEM, "new", "netlink socket cannot be opened");
    return nullptr;
  }
  if (made->Prepare(env)) return made;
  delete made;
  return nullptr;
}

bool NetlinkSocket::Prepare(napi_env env) {
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_PKTINFO}) {
    if (setsockopt(fd_, SOL_NETLINK, option, &on, sizeof on) != 0) {
      ThrowSystemError(env, errno, "setsockopt",
                       "netlink option " + std::to_string(option) + " is not known to this kernel");
      return false;
    }
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  socklen_t length = sizeof address;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    ThrowSystemError(env, errno, "bind", "netlink socket cannot be bound");
    return false;
  }
  port_id_ = address.nl_pid;
  return true;
}

NetlinkSocket::~NetlinkSocket() {
  if (fd_ >= 0) close(fd_);
}

void NetlinkSocket::SetMembership(napi_env env, int option, uint32_t group) {
  if (setsockopt(fd_, SOL_NETLINK, option, &group, sizeof group) == 0) return;
  const char* verb = option == NETLINK_ADD_MEMBERSHIP ? " cannot be joined" : " cannot be left";
  ThrowSystemError(env, errno, "setsockopt", "netlink group " + std::to_string(group) + verb);
}

int NetlinkSocket::SetBuffer(napi_env env, int force, int plain, int bytes) {
  int size = 0;
  socklen_t length = sizeof size;
  // FORCE passes the limits net.core.wmem_max and rmem_max and needs CAP_NET_ADMIN.
  if ((setsockopt(fd_, SOL_SOCKET, force, &bytes, sizeof bytes) != 0 &&
       setsockopt(fd_, SOL_SOCKET, plain, &bytes, sizeof bytes) != 0) ||
      getsockopt(fd_, SOL_SOCKET, plain, &size, &length) != 0) {
    ThrowSystemError(env, errno, "setsockopt", "netlink buffer cannot be set to " + std::to_string(bytes) + " bytes");
  }
  return size;
}

void NetlinkSocket::AttachFilter(napi_env env, const uint8_t* program, size_t length) {
  if (length == 0 || length % sizeof(sock_filter) != 0 || length / sizeof(sock_filter) > USHRT_MAX) {
    ThrowRangeError(env, "program must be whole instructions of 8 bytes");
    return;
  }
  sock_fprog filter{};
  filter.len = static_cast<unsigned short>(length / sizeof(sock_filter));
  // The kernel copies it byte by byte: it need not be aligned.
  filter.filter = reinterpret_cast<sock_filter*>(const_cast<uint8_t*>(program));
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
    ThrowSystemError(env, errno, "setsockopt", "netlink filter cannot be attached");
  }
}

void NetlinkSocket::Send(napi_env env, const uint8_t* data, size_t length) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  iovec part{const_cast<uint8_t*>(data), length};
  msghdr message{};
  message.msg_name = &kernel;
  message.msg_namelen = sizeof kernel;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t sent;
  do {
    sent = sendmsg(fd_, &message, 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    ThrowSystemError(env, errno, "sendmsg", "netlink message of " + std::to_string(length) + " bytes cannot be sent");
  }
}

size_t NetlinkSocket::Receive(napi_env env, uint8_t* buffer, size_t size, uint32_t* lengths, uint32_t* groups,
                              size_t max) {
  size_t count = 0;
  size_t used = 0;
  int error = late_error_;
  late_error_ = 0;
  while (error == 0 && count < max) {
    const size_t room = size - used;
    // Whether it fits is asked only where it might not: answers come by the hundred thousand, and a question costs as much as an answer.
    const ssize_t next = room >= kLargestDatagram ? 0 : recv(fd_, nullptr, 0, MSG_PEEK | MSG_TRUNC);
    if (next < 0) {
      if (errno != EINTR) error = errno;
      continue;
    }
    if (static_cast<size_t>(next) > room) {
      if (count == 0) {
        napi_value thrown = SystemError(env, EMSGSIZE, "recvmsg",
                                        "netlink datagram of " + std::to_string(next) +
                                            " bytes is larger than the buffer of " + std::to_string(size) + " bytes");
        napi_value needed;
        if (thrown != nullptr && napi_create_int64(env, next, &needed) == napi_ok &&
            napi_set_named_property(env, thrown, "needed", needed) == napi_ok) {
          napi_throw(env, thrown);
        }
      }
      return count;
    }
    sockaddr_nl sender{};
    // All the room, not just `next`: the kernel sizes the rest of a dump by the largest room it was offered.
    iovec part{buffer + used, room};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(nl_pktinfo))];
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(fd_, &message, MSG_TRUNC);
    if (got < 0) {
      if (errno != EINTR) error = errno;
      continue;
    }
    if (sender.nl_pid != 0) continue;  // another process wrote this, not the kernel
    if (static_cast<size_t>(got) > room) {
      error = ENOBUFS;  // larger than any that there is: it is lost, as when there was no room for it in the kernel
      continue;
    }
    lengths[count] = static_cast<uint32_t>(got);
    groups[count] = GroupOf(&message);
    count++;
    used += static_cast<size_t>(got);
  }
  if (error == 0 || error == EAGAIN) return count;
  if (count > 0) {
    late_error_ = error;
  } else {
    ThrowSystemError(env, error, "recvmsg",
                     error == ENOBUFS ? "netlink messages were lost, the receive buffer was full"
                                      : "netlink messages cannot be received");
  }
  return count;
}

void NetlinkSocket::StartWatching(napi_env env, napi_value callback) {
  StopWatching(env);
  uv_loop_t* loop = nullptr;
  Watch* watch = new (std::nothrow) Watch();
  if (watch == nullptr || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    delete watch;
    ThrowSystemError(env, ENOMEM, "uv_poll_init", "netlink socket cannot be watched");
    return;
  }
  const int error = uv_poll_init(loop, &watch->poll, fd_);
  if (error != 0) {
    delete watch;
    ThrowSystemError(env, -error, "uv_poll_init", "netlink socket cannot be watched");
    return;
  }
  watch->poll.data = watch;
  watch->env = env;
  watch->owner = this;
  watch_ = watch;
  // While it is watched the object must not be collected: only the loop knows it then.
  napi_reference_ref(env, wrapper_, nullptr);
  napi_create_reference(env, callback, 1, &watch->callback);
  napi_add_async_cleanup_hook(env, Watch::OnEnvironmentEnd, watch, &watch->hook);
  uv_poll_start(&watch->poll, UV_READABLE, Watch::OnReadable);
  SetKeepsAlive(keeps_alive_);
}

void NetlinkSocket::StopWatching(napi_env env) {
  if (watch_ == nullptr) return;
  Watch* watch = watch_;
  watch_ = nullptr;
  watch->owner = nullptr;
  uv_poll_stop(&watch->poll);
  napi_delete_reference(env, watch->callback);
  napi_reference_unref(env, wrapper_, nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->poll), Watch::OnClosed);
}

void NetlinkSocket::SetKeepsAlive(bool keeps_alive) {
  keeps_alive_ = keeps_alive;
  if (watch_ == nullptr) return;
  uv_handle_t* handle = reinterpret_cast<uv_handle_t*>(&watch_->poll);
  if (keeps_alive) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void NetlinkSocket::Close(napi_env env) {
  StopWatching(env);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

}  // namespace penstock
