#include "bgp_socket.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "../napi_class.h"
#include "records.h"
#include "socket_address.h"

namespace penstock {

namespace {

using announce::FillAddress;
using announce::Ip;

constexpr int kHighestTtl = 255;
// RFC 7454, 5.2: internetwork control.
constexpr int kTrafficClass = 0xc0;

struct Wish {
  Ip peer;
  Ip source;  // unspecified: the kernel chooses
  std::string key;
  int64_t ttl;      // of what is sent; 0: the system's
  int64_t min_ttl;  // of what is received; 0: any
};

// 0, or errno with `failed` set.
int SetOptions(int fd, const Wish& wish, const char** failed) {
  const int level = wish.peer.v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const auto set = [&](int at, int option, int value, const char* name) {
    if (setsockopt(fd, at, option, &value, sizeof value) == 0) return true;
    *failed = name;
    return false;
  };
  set(level, wish.peer.v6 ? IPV6_TCLASS : IP_TOS, kTrafficClass, "traffic class");
  if (wish.ttl > 0 && !set(level, wish.peer.v6 ? IPV6_UNICAST_HOPS : IP_TTL, static_cast<int>(wish.ttl), "TTL")) return errno;
  if (wish.min_ttl > 0 &&
      !set(level, wish.peer.v6 ? IPV6_MINHOPCOUNT : IP_MINTTL, static_cast<int>(wish.min_ttl), "least TTL"))
    return errno;
  if (!wish.key.empty()) {
    tcp_md5sig md5{};
    sockaddr_storage peer;
    FillAddress(wish.peer, 0, &peer);
    static_assert(sizeof md5.tcpm_addr == sizeof peer);
    memcpy(&md5.tcpm_addr, &peer, sizeof peer);
    md5.tcpm_keylen = static_cast<uint16_t>(wish.key.size());
    memcpy(md5.tcpm_key, wish.key.data(), wish.key.size());
    if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof md5) != 0) {
      *failed = "TCP_MD5SIG";
      return errno;
    }
  }
  if (!wish.source.IsUnspecified()) {
    sockaddr_storage source;
    const socklen_t length = FillAddress(wish.source, 0, &source);
    if (bind(fd, reinterpret_cast<sockaddr*>(&source), length) != 0) {
      *failed = "bind";
      return errno;
    }
  }
  return 0;
}

// bgpSocket(peer, source, key, ttl, minTtl) → file descriptor, not connected yet
napi_value BgpSocket(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5], result = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  Wish wish;
  if (!announce::ToIp(env, arguments[0], "peer", &wish.peer) || !announce::ToIp(env, arguments[1], "source", &wish.source) ||
      !GetString(env, arguments[2], "key", &wish.key) || !GetInteger(env, arguments[3], "ttl", 0, kHighestTtl, &wish.ttl) ||
      !GetInteger(env, arguments[4], "minTtl", 0, kHighestTtl, &wish.min_ttl)) {
    return nullptr;
  }
  if (wish.key.size() > TCP_MD5SIG_MAXKEYLEN || (!wish.source.IsUnspecified() && wish.source.v6 != wish.peer.v6)) {
    ThrowRangeError(env, "key must have at most 80 bytes, and source must be of the peer's family");
    return nullptr;
  }
  const int fd = socket(wish.peer.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket", "the socket of a BGP session");
    return nullptr;
  }
  const char* failed = nullptr;
  const int error = SetOptions(fd, wish, &failed);
  if (error != 0) {
    close(fd);
    ThrowSystemError(env, error, "setsockopt", std::string("the socket of a BGP session (") + failed + ")");
    return nullptr;
  }
  napi_create_int32(env, fd, &result);
  return result;
}

}  // namespace

bool DefineBgpSocket(napi_env env, napi_value exports) { return DefineFunction(env, exports, "bgpSocket", BgpSocket); }

}  // namespace penstock
