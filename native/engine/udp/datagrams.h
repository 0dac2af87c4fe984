// Buffers for many datagrams at once (recvmmsg, sendmmsg), 64 KiB each. One for each thread; what is not touched costs
// no memory.
#ifndef PENSTOCK_ENGINE_DATAGRAMS_H_
#define PENSTOCK_ENGINE_DATAGRAMS_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "../../service/address.h"

namespace penstock::engine {

class DatagramBatch {
 public:
  static constexpr size_t kMost = 64;
  static constexpr size_t kBytes = 64 * 1024;

  DatagramBatch();

  // Of the thread that calls.
  static DatagramBatch& OfThread();

  // How many came, `most` at most; -1 with errno. To ask for few is cheaper.
  int Receive(int fd, size_t most);
  // Of `count` datagrams from `first` on, on a connected socket. Those that do not fit are lost, as datagrams are.
  void Send(int fd, size_t first, size_t count);
  // The first `count`, to one address, from our `local` address.
  void SendTo(int fd, size_t count, const SocketAddress& to, const Address& local);

  const SocketAddress& source(size_t i) const { return sources_[i]; }
  size_t length(size_t i) const { return messages_[i].msg_len; }
  // Which address of ours it came to; the port is not known here.
  Address LocalAddress(size_t i) const;

 private:
  static constexpr size_t kControlBytes = 64;
  // Not a power of two: the beginnings of all datagrams would share the same few lines of the processor's cache.
  static constexpr size_t kStride = kBytes + 5 * 64;

  // What all messages of one transmission begin with: where they go, and control data.
  struct Envelope {
    const SocketAddress* to = nullptr;
    const uint8_t* control = nullptr;
    size_t control_length = 0;
  };
  // Datagrams of one length that follow each other, the last one perhaps shorter: the kernel takes them as one
  // (UDP_SEGMENT) and cuts them as late as it can.
  struct Run {
    size_t first;
    size_t count;
  };

  void Transmit(int fd, size_t first, size_t count, const Envelope& envelope);
  Run RunFrom(size_t at, size_t end) const;
  void Prepare(size_t slot, const Run& run, const Envelope& envelope);
  void SendEach(int fd, const Run& run, const Envelope& envelope);

  std::unique_ptr<uint8_t[]> bytes_;
  mmsghdr messages_[kMost];
  mmsghdr out_[kMost];
  iovec vectors_[kMost];
  SocketAddress sources_[kMost];
  alignas(8) uint8_t controls_[kMost][kControlBytes];
  alignas(8) uint8_t out_controls_[kMost][kControlBytes];
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_DATAGRAMS_H_
