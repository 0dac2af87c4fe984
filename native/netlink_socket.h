// The JavaScript class NetlinkSocket; its contract is written down in src/kernel/netlink/NativeSocket.ts.
#ifndef PENSTOCK_NETLINK_SOCKET_H_
#define PENSTOCK_NETLINK_SOCKET_H_

#include <node_api.h>
#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock {

// Puts the class into `exports`. Returns false with a JavaScript exception pending.
bool DefineNetlinkSocket(napi_env env, napi_value exports);

// One AF_NETLINK socket. Used on one JavaScript thread only, the one that made it.
class NetlinkSocket {
 public:
  // Opens and binds, in the namespace of the file `netns` unless that is empty. Returns nullptr with an exception
  // pending.
  static NetlinkSocket* Open(napi_env env, int protocol, const std::string& netns);
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;

  // Remembers the JavaScript object this belongs to, as a weak reference.
  void SetWrapper(napi_ref wrapper) { wrapper_ = wrapper; }
  napi_ref Wrapper() const { return wrapper_; }

  bool IsOpen() const { return fd_ >= 0; }
  uint32_t PortId() const { return port_id_; }

  // The rest throws into JavaScript on failure.
  void SetMembership(napi_env env, int option, uint32_t group);
  // `force` and `plain` are SO_SNDBUFFORCE and SO_SNDBUF or their SO_RCV… twins. Returns the size now in force, bytes.
  int SetBuffer(napi_env env, int force, int plain, int bytes);
  // `program`: struct sock_filter, `length` bytes of them. What it refuses is dropped by the kernel before it is queued.
  void AttachFilter(napi_env env, const uint8_t* program, size_t length);
  void Send(napi_env env, const uint8_t* data, size_t length);
  // Fills consecutive parts of `buffer`; the i-th is lengths[i] bytes, of multicast group groups[i]. Returns how many.
  size_t Receive(napi_env env, uint8_t* buffer, size_t size, uint32_t* lengths, uint32_t* groups, size_t max);
  void StartWatching(napi_env env, napi_value callback);
  void StopWatching(napi_env env);
  // Whether a watched socket keeps the process alive.
  void SetKeepsAlive(bool keeps_alive);
  void Close(napi_env env);

 private:
  struct Watch;

  explicit NetlinkSocket(int fd) : fd_(fd) {}
  bool Prepare(napi_env env);

  int fd_;
  uint32_t port_id_ = 0;
  // An error that came after some datagrams of the same Receive; the next Receive throws it.
  int late_error_ = 0;
  bool keeps_alive_ = false;
  napi_ref wrapper_ = nullptr;
  Watch* watch_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_NETLINK_SOCKET_H_
