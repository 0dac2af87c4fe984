// A TCP connection of a client and the one to the endpoint that serves it.
#ifndef PENSTOCK_ENGINE_CONNECTION_H_
#define PENSTOCK_ENGINE_CONNECTION_H_

#include <sys/epoll.h>

#include <memory>
#include <vector>

#include "../worker.h"

namespace penstock::engine {

// What epoll tells of a descriptor of a connection, besides room to write. EPOLLPRI: of urgent data, before which reads stop short.
constexpr uint32_t kWatched = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

// Descriptors: the client's and the endpoint's.
constexpr int kDescriptorsEach = 2;

class Connection final : public Timer {
 public:
  // Owns `client_fd`. `list`: index into the lists of the service port. `client` is who called.
  Connection(Worker& worker, ServicePointer service, uint8_t list, int client_fd, const Address& client,
             const Address& destination, bool keeps_source);
  ~Connection() override;

  // Begins with the first attempt. May end the connection at once.
  void Start();
  // Of one that waits: service ports have changed, somebody may serve by now.
  void LookAgain();
  // Goes on with what was left because others had to have a turn.
  void Continue();
  void Reset();
  // The connection is not a short one: its sockets get what short ones do not need.
  void Settle();
  const Service& service() const { return *service_; }
  bool Uses(uint32_t endpoint_cell) const { return endpoint_cell_ == endpoint_cell; }
  void OnTimer(uint64_t now_ms) override;

 private:
  friend class Worker;

  struct Peer final : Source {
    explicit Peer(Connection* owner) : connection(owner) {}
    void OnEvents(uint32_t events) override { connection->OnEvents(*this, events); }
    Connection* connection;
    int fd = -1;
    bool readable = false;
    bool writable = false;
    bool ending = false;  // the peer has said that it ends; what it sent before may still be unread
    bool ended = false;   // everything that it sent has been read
    bool broken = false;  // reset, or unreachable: nothing can be sent to it; what it sent before may still be unread
    bool urgent = false;  // has sent urgent data: what a read brings may be less than there is
    bool tells_room = false;  // epoll says when there is room to write again
    uint8_t writes = 0;       // stops at 2: the first write needs no TCP_NODELAY
  };

  // Bytes on their way from one to the other.
  struct Direction {
    Peer* from;
    Peer* to;
    std::unique_ptr<uint8_t[]> pending;  // what could not be written
    uint32_t pending_at = 0;
    uint32_t pending_end = 0;
    Pipe pipe;
    uint32_t in_pipe = 0;
    bool bulk = false;      // large reads: spliced, not copied
    bool finished = false;  // the end has been passed on
    bool is_stuck() const { return pending_at < pending_end || in_pipe > 0; }
  };

  // Ending: one side is broken; what it sent is on its way to the other, which then gets the reset too.
  // Waiting: nobody serves yet; what the client says stays with the kernel.
  enum class State : uint8_t { kWaiting, kConnecting, kRelaying, kEnding, kClosed };

  void OnEvents(Peer& peer, uint32_t events);
  // connect.cc
  bool TakeShare();
  bool ReadFirst();
  void Wait();
  void Begin();
  const EndpointList& list() const { return service_->lists[list_]; }
  void Attempt();
  bool Dial(const Endpoint& endpoint);
  void AttemptFailed(int error);
  void Connected();
  const Address* SourceOf(const Endpoint& endpoint);
  void LearnSource();
  void LetGoOfEndpoint();
  bool NextMayBeTried();
  // relay.cc
  void Relay();
  void Pump(Direction& direction);
  void Flush(Direction& direction);
  void Copy(Direction& direction);
  void FillPipe(Direction& direction);
  void ReadEnded(Peer& from, ssize_t got);
  void Discard(Direction& direction);
  void PassOnReset();
  void WaitForDelivery();
  bool Keep(Direction& direction, const uint8_t* data, size_t length);
  ssize_t Write(Peer& to, const uint8_t* data, size_t length, int flags);
  void NeedRoom(Peer& peer);
  void Count(const Direction& direction, size_t bytes);
  void ArmIdle();
  void Close();

  Worker& worker_;
  ServicePointer service_;
  const uint8_t list_;
  Address client_address_;
  Address destination_;
  Peer client_;
  Peer server_;
  Direction up_;
  Direction down_;
  std::unique_ptr<std::vector<uint32_t>> tried_;  // indexes into the list; only once an attempt failed
  uint64_t started_ms_;
  uint64_t active_ms_;
  uint32_t endpoint_cell_ = kNobody;
  uint32_t endpoint_index_ = kNobody;
  uint8_t attempts_ = 0;
  uint8_t turns_left_ = 0;
  uint8_t looks_ = 0;        // at what is not delivered yet
  uint32_t undelivered_ = 0;  // bytes, at the last look
  State state_ = State::kConnecting;
  bool waits_again_ = false;
  bool settled_ = false;
  bool has_share_ = false;  // and is counted
  bool keeps_source_;
  bool as_client_ = false;  // the attempt bears the client's address
  bool as_node_ = false;    // the next one shall not, and goes to the same endpoint
  bool has_spoken_ = false;  // the endpoint was given bytes of the client, which nobody else can be given again
  Connection* next_ = nullptr;
  Connection* previous_ = nullptr;
};

// The PROXY protocol's header (haproxy's proxy-protocol.txt), version 1 or 2.
std::vector<uint8_t> ProxyHeader(ProxyProtocol version, const Address& client, const Address& destination);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_CONNECTION_H_
