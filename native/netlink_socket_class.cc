// What JavaScript sees of NetlinkSocket: unpacks and checks the arguments of each method.
#include <limits.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <string>

#include "napi_class.h"
#include "netlink_socket.h"

namespace penstock {

namespace {

// Marks our objects, so that a method called on anything else throws instead of misreading memory.
constexpr napi_type_tag kTypeTag = {0x8f1d2f7c5a3b4e60, 0xb1c44d9a7e02f35d};
constexpr int64_t kMaxProtocol = MAX_LINKS - 1;
constexpr int64_t kMaxBuffer = INT_MAX / 2;  // the kernel doubles it

struct SocketCall {
  napi_env env;
  napi_value self = nullptr;
  napi_value arguments[kMaxArguments] = {};
  NetlinkSocket* socket = nullptr;

  SocketCall(napi_env environment, napi_callback_info info) : env(environment) {
    size_t count = kMaxArguments;  // absent arguments become undefined
    napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
  }

  // False with an exception pending when `this` is no NetlinkSocket.
  bool FindSocket() {
    socket = static_cast<NetlinkSocket*>(UnwrapTagged(env, self, kTypeTag, "NetlinkSocket"));
    return socket != nullptr;
  }

  bool FindOpenSocket() {
    if (!FindSocket()) return false;
    if (socket->IsOpen()) return true;
    ThrowSystemError(env, EBADF, "netlink", "netlink socket is closed");
    return false;
  }
};

void Finalize(napi_env env, void* data, void*) {
  NetlinkSocket* socket = static_cast<NetlinkSocket*>(data);
  napi_delete_reference(env, socket->Wrapper());
  delete socket;
}

// Reads `netns` of the options; leaves `path` empty when there is none.
bool ReadOptions(napi_env env, napi_value options, std::string* path) {
  if (IsUndefined(env, options)) return true;
  napi_valuetype type;
  napi_value netns;
  if (napi_typeof(env, options, &type) != napi_ok || type != napi_object) {
    ThrowTypeError(env, "options must be an object");
    return false;
  }
  if (napi_get_named_property(env, options, "netns", &netns) != napi_ok) return false;
  if (IsUndefined(env, netns)) return true;
  if (!GetString(env, netns, "netns", path)) return false;
  if (!path->empty() && path->find('\0') == std::string::npos) return true;
  ThrowRangeError(env, "netns must be the path of a network namespace");
  return false;
}

napi_value New(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  napi_value new_target = nullptr;
  napi_get_new_target(env, info, &new_target);
  if (new_target == nullptr) {
    ThrowTypeError(env, "NetlinkSocket must be called with new");
    return nullptr;
  }
  int64_t protocol;
  std::string netns;
  if (!GetInteger(env, call.arguments[0], "protocol", 0, kMaxProtocol, &protocol) ||
      !ReadOptions(env, call.arguments[1], &netns)) {
    return nullptr;
  }
  NetlinkSocket* socket = NetlinkSocket::Open(env, static_cast<int>(protocol), netns);
  if (socket == nullptr) return nullptr;
  napi_ref wrapper;
  if (napi_wrap(env, call.self, socket, Finalize, nullptr, &wrapper) != napi_ok) {
    delete socket;
    ThrowTypeError(env, "NetlinkSocket cannot be made of this object");
    return nullptr;
  }
  socket->SetWrapper(wrapper);
  napi_type_tag_object(env, call.self, &kTypeTag);
  return call.self;
}

napi_value PortId(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  napi_value result = nullptr;
  if (call.FindSocket()) napi_create_uint32(env, call.socket->PortId(), &result);
  return result;
}

void SetMembership(napi_env env, napi_callback_info info, int option) {
  SocketCall call(env, info);
  int64_t group;
  if (!call.FindOpenSocket() || !GetInteger(env, call.arguments[0], "group", 1, UINT32_MAX, &group)) return;
  call.socket->SetMembership(env, option, static_cast<uint32_t>(group));
}

napi_value JoinGroup(napi_env env, napi_callback_info info) {
  SetMembership(env, info, NETLINK_ADD_MEMBERSHIP);
  return nullptr;
}

napi_value LeaveGroup(napi_env env, napi_callback_info info) {
  SetMembership(env, info, NETLINK_DROP_MEMBERSHIP);
  return nullptr;
}

napi_value SetBuffer(napi_env env, napi_callback_info info, int force, int plain) {
  SocketCall call(env, info);
  int64_t bytes;
  napi_value result = nullptr;
  if (call.FindOpenSocket() && GetInteger(env, call.arguments[0], "bytes", 1, kMaxBuffer, &bytes)) {
    napi_create_int32(env, call.socket->SetBuffer(env, force, plain, static_cast<int>(bytes)), &result);
  }
  return result;
}

napi_value SetSendBuffer(napi_env env, napi_callback_info info) {
  return SetBuffer(env, info, SO_SNDBUFFORCE, SO_SNDBUF);
}

napi_value SetReceiveBuffer(napi_env env, napi_callback_info info) {
  return SetBuffer(env, info, SO_RCVBUFFORCE, SO_RCVBUF);
}

napi_value AttachFilter(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  uint8_t* program;
  size_t length;
  if (call.FindOpenSocket() && GetBytes(env, call.arguments[0], "program", &program, &length)) {
    call.socket->AttachFilter(env, program, length);
  }
  return nullptr;
}

napi_value Send(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  uint8_t* data;
  size_t length;
  if (call.FindOpenSocket() && GetBytes(env, call.arguments[0], "message", &data, &length)) {
    call.socket->Send(env, data, length);
  }
  return nullptr;
}

napi_value Receive(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  uint8_t* buffer;
  uint32_t *lengths, *groups;
  size_t size, max, group_count;
  if (!call.FindOpenSocket() || !GetBytes(env, call.arguments[0], "buffer", &buffer, &size) ||
      !GetUint32s(env, call.arguments[1], "lengths", &lengths, &max) ||
      !GetUint32s(env, call.arguments[2], "groups", &groups, &group_count)) {
    return nullptr;
  }
  if (max == 0 || max != group_count) {
    ThrowRangeError(env, "lengths and groups must have the same length, at least 1");
    return nullptr;
  }
  napi_value result = nullptr;
  napi_create_uint32(env, static_cast<uint32_t>(call.socket->Receive(env, buffer, size, lengths, groups, max)),
                     &result);
  return result;
}

napi_value OnReadable(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  if (!call.FindOpenSocket()) return nullptr;
  if (IsUndefined(env, call.arguments[0])) {
    call.socket->StopWatching(env);
  } else if (GetFunction(env, call.arguments[0], "callback")) {
    call.socket->StartWatching(env, call.arguments[0]);
  }
  return nullptr;
}

napi_value Ref(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  if (call.FindSocket()) call.socket->SetKeepsAlive(true);
  return nullptr;
}

napi_value Unref(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  if (call.FindSocket()) call.socket->SetKeepsAlive(false);
  return nullptr;
}

napi_value Close(napi_env env, napi_callback_info info) {
  SocketCall call(env, info);
  if (call.FindSocket()) call.socket->Close(env);
  return nullptr;
}

}  // namespace

bool DefineNetlinkSocket(napi_env env, napi_value exports) {
  return DefineClass(
      env, exports, "NetlinkSocket", New,
      {Getter("portId", PortId), Method("joinGroup", JoinGroup), Method("leaveGroup", LeaveGroup),
       Method("setSendBuffer", SetSendBuffer), Method("setReceiveBuffer", SetReceiveBuffer),
       Method("attachFilter", AttachFilter), Method("send", Send),
       Method("receive", Receive), Method("onReadable", OnReadable), Method("ref", Ref), Method("unref", Unref),
       Method("close", Close)});
}

}  // namespace penstock
