// A queue of nfnetlink_queue: packets come in, verdicts go out.
#ifndef PENSTOCK_CHOICE_QUEUE_H_
#define PENSTOCK_CHOICE_QUEUE_H_

#include <cstdint>

#include "netlink.h"

namespace penstock::choice {

struct QueuedPacket {
  uint32_t id;
  uint32_t mark;
  Span packet;
  // The copy is not the whole packet.
  bool is_cut;
  // The checksum of TCP or UDP is still to be completed by a network card.
  bool lacks_checksum;
};

struct QueueOptions {
  // The first number that is tried, and how many.
  uint16_t first;
  int tries;
  // Packets that may wait.
  uint32_t length;
  // What finds no room passes; otherwise it is dropped.
  bool fails_open;
};

class Queue {
 public:
  // The first number that nobody has. Throws std::system_error, EPERM when all are taken.
  explicit Queue(const QueueOptions& options);

  uint16_t number() const { return number_; }
  int socket() const { return socket_.get(); }

  // Calls `take` with each packet that waits, up to what fits a batch. False when nothing else waits.
  template <typename Take>
  bool Receive(Take take);
  int Receive(Waiting waiting) { return inbox_.Receive(socket_.get(), waiting); }
  template <typename Take>
  void ForEach(int count, Take take) const;
  static constexpr int most() { return static_cast<int>(kBatch); }
  // Sent with Flush().
  void Accept(uint32_t id, uint32_t mark);
  // `instead`: of the packet, the whole with its checksums; nothing: it goes on as it came.
  void Release(uint32_t id, Span instead);
  void Drop(uint32_t id);
  void Flush();

  // Receive() waits for so long.
  void WaitAtMost(int milliseconds);
  // Receive() of another thread returns.
  void Wake();
  // Whether packets wait here. If not, whatever comes passes as if there were no queue (FAIL_OPEN of one without room).
  void Hold(bool holds);
  // What still waits is lost.
  void Unbind();

 private:
  static constexpr size_t kBatch = 64;
  static constexpr size_t kRoom = 1024;  // a copy of 128 bytes and what is said beside it

  bool Ask(uint16_t type, const void* data, size_t size);
  void Decide(uint32_t id, uint32_t verdict);

  const uint32_t length_;
  UniqueFd socket_;
  uint16_t number_ = 0;
  Writer writer_;
  Inbox<kBatch, kRoom> inbox_;
};

bool ReadQueued(const Message& message, QueuedPacket* out);

template <typename Take>
bool Queue::Receive(Take take) {
  const int count = Receive(Waiting::kNot);
  ForEach(count, take);
  return count == most();
}

template <typename Take>
void Queue::ForEach(int count, Take take) const {
  inbox_.ForEach(count, [&](const Message& message) {
    QueuedPacket packet;
    if (ReadQueued(message, &packet)) take(packet);
  });
}

}  // namespace penstock::choice

#endif  // PENSTOCK_CHOICE_QUEUE_H_
