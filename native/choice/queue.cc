#include "queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <system_error>

namespace penstock::choice {

namespace {

constexpr int kBufferBytes = 4 * 1024 * 1024;
constexpr uint32_t kCopyBytes = 128;
constexpr uint16_t kPacket = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
constexpr uint16_t kVerdict = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
constexpr uint16_t kConfig = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG;

}  // namespace

Queue::Queue(const QueueOptions& options) : length_(options.length), socket_(OpenNetfilter(kBufferBytes, false)) {
  const nfqnl_msg_config_cmd bind{NFQNL_CFG_CMD_BIND, 0, 0};
  number_ = options.first;
  int tries = options.tries;
  while (!Ask(NFQA_CFG_CMD, &bind, sizeof bind)) {
    if (errno != EPERM && errno != EBUSY) throw std::system_error(errno, std::generic_category(), "bind a queue");
    if (--tries <= 0) throw std::system_error(EPERM, std::generic_category(), "all queues are taken");
    number_++;
  }
  nfqnl_msg_config_params params{htonl(kCopyBytes), NFQNL_COPY_PACKET};
  // GSO: large datagrams need not be cut for us, nor checksums completed.
  const uint32_t mask = NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO;
  const uint32_t flags = options.fails_open ? mask : NFQA_CFG_F_GSO;
  writer_.Clear();
  writer_.Begin(kConfig, NLM_F_ACK, AF_UNSPEC, number_);
  writer_.Attribute(NFQA_CFG_PARAMS, &params, sizeof params);
  writer_.U32(NFQA_CFG_FLAGS, flags);
  writer_.U32(NFQA_CFG_MASK, mask);
  writer_.U32(NFQA_CFG_QUEUE_MAXLEN, length_);
  writer_.End();
  const bool sent = Send(socket_.get(), writer_);
  const int error = sent ? AwaitAnswer(socket_.get()) : errno;
  writer_.Clear();
  if (error != 0) throw std::system_error(error, std::generic_category(), "set up a queue");
}

bool Queue::Ask(uint16_t type, const void* data, size_t size) {
  writer_.Clear();
  writer_.Begin(kConfig, NLM_F_ACK, AF_UNSPEC, number_);
  writer_.Attribute(type, data, size);
  writer_.End();
  const int error = Send(socket_.get(), writer_) ? AwaitAnswer(socket_.get()) : errno;
  writer_.Clear();
  errno = error;
  return error == 0;
}

void Queue::WaitAtMost(int milliseconds) {
  const timeval time{milliseconds / 1000, milliseconds % 1000 * 1000};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) & ~O_NONBLOCK);
}

// The kernel's answer ends the waiting.
void Queue::Wake() {
  const nfqnl_msg_config_cmd nothing{NFQNL_CFG_CMD_PF_UNBIND, 0, 0};
  Writer writer;
  writer.Begin(kConfig, NLM_F_ACK, AF_UNSPEC, number_);
  writer.Attribute(NFQA_CFG_CMD, &nothing, sizeof nothing);
  writer.End();
  Send(socket_.get(), writer);
}

void Queue::Hold(bool holds) {
  Writer writer;
  writer.Begin(kConfig, 0, AF_UNSPEC, number_);
  writer.U32(NFQA_CFG_QUEUE_MAXLEN, holds ? length_ : 0);
  writer.End();
  Send(socket_.get(), writer);
}

void Queue::Unbind() {
  const nfqnl_msg_config_cmd unbind{NFQNL_CFG_CMD_UNBIND, 0, 0};
  Writer writer;
  writer.Begin(kConfig, 0, AF_UNSPEC, number_);
  writer.Attribute(NFQA_CFG_CMD, &unbind, sizeof unbind);
  writer.End();
  Send(socket_.get(), writer);
}

void Queue::Decide(uint32_t id, uint32_t verdict) {
  const nfqnl_msg_verdict_hdr header{htonl(verdict), htonl(id)};
  writer_.Begin(kVerdict, 0, AF_UNSPEC, number_);
  writer_.Attribute(NFQA_VERDICT_HDR, &header, sizeof header);
}

void Queue::Accept(uint32_t id, uint32_t mark) {
  Decide(id, NF_ACCEPT);
  writer_.U32(NFQA_MARK, mark);
  writer_.End();
}

void Queue::Release(uint32_t id, Span instead) {
  Decide(id, NF_ACCEPT);
  if (instead) writer_.Attribute(NFQA_PAYLOAD, instead.data, instead.size);
  writer_.End();
}

void Queue::Drop(uint32_t id) {
  Decide(id, NF_DROP);
  writer_.End();
}

void Queue::Flush() {
  if (writer_.IsEmpty()) return;
  Send(socket_.get(), writer_);
  writer_.Clear();
}

bool ReadQueued(const Message& message, QueuedPacket* out) {
  if (message.type != kPacket) return false;
  const Span header = Find(message.attributes, NFQA_PACKET_HDR);
  out->packet = Find(message.attributes, NFQA_PAYLOAD);
  out->id = header.U32();
  out->mark = Find(message.attributes, NFQA_MARK).U32();
  out->is_cut = static_cast<bool>(Find(message.attributes, NFQA_CAP_LEN));
  out->lacks_checksum = (Find(message.attributes, NFQA_SKB_INFO).U32() & NFQA_SKB_CSUMNOTREADY) != 0;
  return header.size >= 4;
}

}  // namespace penstock::choice
