// The watchdog of the threads that choose endpoints for first packets (native/choice/). It shares each thread's queue, and so may
// decide in its place: when the thread has not turned for a while, or the agent is gone, whatever waits passes as if nobody
// chose. Another process, because a stopped one (SIGSTOP, a debugger) stops with all its threads.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../choice/beat.h"

using penstock::choice::Beat;
using penstock::choice::kAgentFd;
using penstock::choice::kBeatFd;
using penstock::choice::kFirstQueueFd;
using penstock::choice::MonotonicMs;

namespace {

constexpr int kLookMs = 100;
constexpr uint64_t kHangsMs = 200;

// An order for the queue with one attribute.
struct Order {
  nlmsghdr message;
  nfgenmsg netfilter;
  nlattr attribute;
  uint8_t content[8];
};

struct Queue {
  uint16_t number;
  int socket;
  Beat* beat;
};

void Give(const Queue& queue, uint16_t type, uint16_t attribute, const void* content, size_t size) {
  Order order{};
  order.message.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + sizeof order.netfilter + NLA_HDRLEN + size);
  order.message.nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_QUEUE << 8 | type);
  order.message.nlmsg_flags = NLM_F_REQUEST;
  order.netfilter.res_id = htons(queue.number);
  order.attribute = {static_cast<uint16_t>(NLA_HDRLEN + size), attribute};
  memcpy(order.content, content, size);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  while (sendto(queue.socket, &order, order.message.nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0 &&
         errno == EINTR) {
  }
}

// FAIL_OPEN is set: of a queue without room everything passes.
void LetPass(const Queue& queue) {
  const uint32_t none = 0;
  Give(queue, NFQNL_MSG_CONFIG, NFQA_CFG_QUEUE_MAXLEN, &none, sizeof none);
  // All that wait: numbers of packets are compared as distances, and no queue has so many.
  const nfqnl_msg_verdict_hdr all{htonl(NF_ACCEPT), htonl(queue.beat->last_id.load() + 0x3fffffff)};
  Give(queue, NFQNL_MSG_VERDICT_BATCH, NFQA_VERDICT_HDR, &all, sizeof all);
}

void Unbind(const Queue& queue) {
  const nfqnl_msg_config_cmd unbind{NFQNL_CFG_CMD_UNBIND, 0, 0};
  Give(queue, NFQNL_MSG_CONFIG, NFQA_CFG_CMD, &unbind, sizeof unbind);
}

void Look(const Queue& queue) {
  const uint64_t now = MonotonicMs();
  const uint64_t turned = queue.beat->turned.load();
  if (now < turned + kHangsMs) return;
  LetPass(queue);
  // After the order: the thread takes it back when it sees this.
  if (queue.beat->is_open.exchange(1) == 0) queue.beat->times_open++;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 3) return 2;
  const int first = atoi(arguments[1]), count = atoi(arguments[2]);
  if (count < 1) return 2;
  void* memory = mmap(nullptr, sizeof(Beat) * static_cast<size_t>(count), PROT_READ | PROT_WRITE, MAP_SHARED, kBeatFd, 0);
  if (memory == MAP_FAILED) return 1;
  const auto for_each_queue = [&](void (*act)(const Queue&)) {
    for (int i = 0; i < count; i++) act({static_cast<uint16_t>(first + i), kFirstQueueFd + i, static_cast<Beat*>(memory) + i});
  };
  // Whoever ends the agent, or all of its group, ends this with it, but after it.
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) signal(each, SIG_IGN);
  for (;;) {
    pollfd agent{kAgentFd, POLLIN, 0};
    const int ready = poll(&agent, 1, kLookMs);
    if (ready > 0) {
      for_each_queue(LetPass);
      for_each_queue(Unbind);
      return 0;
    }
    for_each_queue(Look);
  }
}
