// One thread of the engine: its epoll loop, its listening sockets, its connections. A connection never leaves its thread.
#ifndef PENSTOCK_ENGINE_WORKER_H_
#define PENSTOCK_ENGINE_WORKER_H_

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "../unique_fd.h"
#include "state/links.h"
#include "../service/pick.h"
#include "tcp/pipe_pool.h"
#include "shared.h"
#include "timer_wheel.h"

namespace penstock::engine {

// Where a connection was redirected to by the kernel says where it came from. Untranslated: it was not, the socket lookup found
// us; only cluster IPs come so, and to them the side is nothing.
enum class Side : uint8_t { kInside = 0, kOutside = 1, kUntranslated = 2 };

struct ListeningSocket {
  int fd;
  uint8_t protocol;  // IPPROTO_TCP or IPPROTO_UDP
  uint8_t family;
  Side side;
  uint16_t port;
};

// Something with a descriptor in the epoll set.
class Source {
 public:
  virtual ~Source() = default;
  virtual void OnEvents(uint32_t events) = 0;
};

class Listener : public Source {
 public:
  // Takes nobody new. False while it is still needed for those it has.
  virtual bool Stop() = 0;
  // Ends what is for service ports and endpoints that are gone.
  virtual void Sweep() {}
};

class Connection;
class Probe;

class Worker {
 public:
  Worker(Shared& shared, uint32_t seed);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start();
  // Joins the thread. What is still open is cut.
  void Stop();
  // Runs in the thread of the worker, soon.
  void Post(std::function<void()> task);

  // The rest is for the worker's own thread.
  // Owns the socket. False with errno when it cannot be waited for; it is closed then.
  bool Listen(const ListeningSocket& socket);
  // Takes no new connections and flows; those that are there go on.
  void StopListening();
  void ResetEndpoint(uint32_t endpoint_cell);

  bool Watch(int fd, uint32_t events, Source* source);
  // Before a descriptor is closed that another one, of another process maybe, is a duplicate of: epoll would go on to tell
  // of it.
  void Unwatch(int fd);
  void Rewatch(int fd, uint32_t events, Source* source);
  // Frees it when no event of this round can name it any more.
  void Retire(std::unique_ptr<Source> source);
  // Continues it once this round is over: it has more to do but others must have a turn.
  void Again(Connection* connection) { again_.push_back(connection); }
  // Starts it again in a moment. False when too many wait already.
  bool Park(Connection* connection);
  // Has it look again when service ports have changed.
  void AddWaiting(Connection* connection) { waiting_.push_back(connection); }
  void Forget(Connection* connection);

  // Starts it once all events of this round are handled: by then most clients have said what they want.
  void Accepted(std::unique_ptr<Connection> connection);
  // Takes it from the list and frees it after this round.
  void Release(Connection* connection);
  // Probes that are under way, which end with the thread.
  void AddProbe(Probe* probe) { probes_.insert(probe); }
  void RemoveProbe(Probe* probe) { probes_.erase(probe); }
  void StartProbes(const ServicePointer& service, const EndpointList& list);

  Shared& shared() { return shared_; }
  const Snapshot& snapshot() const { return *snapshot_; }
  uint64_t generation() const { return generation_; }
  uint64_t now_ms() const { return now_ms_; }
  TimerWheel& timers() { return timers_; }
  Links& links() { return links_; }
  PipePool& pipes() { return pipes_; }
  Random& random() { return random_; }
  uint8_t* buffer() { return buffer_.get(); }

  static constexpr size_t kBufferBytes = 64 * 1024;
  static uint64_t ReadClock();

 private:
  struct ParkTimer final : Timer {
    explicit ParkTimer(Worker& worker) : worker(worker) {}
    void OnTimer(uint64_t) override { worker.Unpark(); }
    Worker& worker;
  };

  void Run();
  void Unpark();
  void TakeUp();
  void Sweep();
  void RunTasks();
  void SettleOld();
  int SleepMs() const;

  Shared& shared_;
  UniqueFd epoll_;
  UniqueFd wake_;
  uint64_t now_ms_;
  TimerWheel timers_;
  PipePool pipes_;
  Links links_;
  Random random_;
  std::unique_ptr<uint8_t[]> buffer_;
  std::shared_ptr<const Snapshot> snapshot_;
  uint64_t generation_ = 0;
  uint64_t settled_ms_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Connection* first_ = nullptr;  // list of all
  std::vector<Connection*> accepted_;  // in this round
  std::vector<std::unique_ptr<Source>> retired_;
  std::vector<Connection*> again_;
  std::vector<Connection*> parked_;
  std::vector<Connection*> waiting_;  // oldest first
  ParkTimer park_timer_{*this};
  uint64_t swept_ms_;
  uint64_t swept_generation_ = 0;
  std::mutex tasks_mutex_;
  std::vector<std::function<void()>> tasks_;
  std::unordered_set<Probe*> probes_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_WORKER_H_
