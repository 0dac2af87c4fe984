#include "xtables_info.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "napi_class.h"

namespace penstock {
namespace {

// struct ipt_getinfo and ip6t_getinfo of linux/netfilter_ipv4/ip_tables.h, which is no C++.
struct TableInfo {
  char name[32];
  uint32_t valid_hooks;
  uint32_t hook_entry[5];
  uint32_t underflow[5];
  uint32_t num_entries;
  uint32_t size;
};

constexpr int kGetInfo = 64;  // IPT_SO_GET_INFO, IP6T_SO_GET_INFO

napi_value XtablesInfo(napi_env env, napi_callback_info call) {
  size_t argc = 2;
  napi_value argv[2];
  if (napi_get_cb_info(env, call, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  int64_t family;
  std::string table;
  if (!GetInteger(env, argv[0], "family", 4, 6, &family) || !GetString(env, argv[1], "table", &table)) return nullptr;
  TableInfo info{};
  if (table.size() >= sizeof info.name) {
    ThrowRangeError(env, "table: a name has at most 31 bytes");
    return nullptr;
  }
  memcpy(info.name, table.data(), table.size());

  int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) {
    ThrowSystemError(env, errno, "socket", "raw socket");
    return nullptr;
  }
  socklen_t length = sizeof info;
  int failed = getsockopt(fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6, kGetInfo, &info, &length);
  int error = errno;
  close(fd);
  if (failed) {
    ThrowSystemError(env, error, "getsockopt", "table " + table);
    return nullptr;
  }
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok || !SetNumber(env, result, "entries", info.num_entries) ||
      !SetNumber(env, result, "bytes", info.size)) {
    return nullptr;
  }
  return result;
}

}  // namespace

bool DefineXtablesInfo(napi_env env, napi_value exports) { return DefineFunction(env, exports, "xtablesInfo", XtablesInfo); }

}  // namespace penstock
