// The proxy engine of mode userspace: its threads and listening sockets, and how it is told what to do. Knows nothing of
// JavaScript; native/proxy_engine_class.cc is the way there.
#ifndef PENSTOCK_ENGINE_ENGINE_H_
#define PENSTOCK_ENGINE_ENGINE_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../lookup/socket_lookup.h"
#include "worker.h"

namespace penstock::engine {

struct EngineOptions {
  size_t threads = 1;
  bool ipv6 = true;
  // Where listening ports are taken from; 0, 0: wherever the kernel has one.
  uint16_t first_port = 0;
  uint16_t last_port = 0;
  int descriptor_limit = 1024;
  uint32_t mark = 0;  // Shared::mark
  bool untranslated = false;  // listeners of Side::kUntranslated too
};

class Engine {
 public:
  // Binds the ports, or takes the sockets that another engine has handed over. Throws std::system_error.
  Engine(const EngineOptions& options, std::vector<ListeningSocket> inherited);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // 0 when there is none.
  uint16_t PortOf(uint8_t protocol, uint8_t family, Side side) const;
  const std::vector<ListeningSocket>& sockets() const { return sockets_; }

  // False with `error` set; the table before then stays in force.
  bool Update(const uint8_t* data, size_t length, std::string* error);
  // Either all sockets or none. Throws std::system_error; may then be called again.
  void StartListening();
  // New connections are refused from now on, unless another process has the sockets as well.
  void StopListening();
  // From now on connections to cluster IPs in `ranges` come without NAT, if a route brings them to this host; the first call
  // opens the socket lookup. Throws std::system_error.
  void SetUntranslatedRanges(const std::vector<lookup::Range>& ranges);
  void ResetEndpoint(uint32_t endpoint_cell);
  // Ends the threads and what they hold. The cells stay readable.
  void Shutdown();
  // What the algorithm of a service port answers `count` times in a row; empty for an unknown one. For tests.
  std::vector<uint32_t> Picks(uint32_t service_cell, size_t list, uint32_t seed, const std::vector<uint8_t>& client,
                              const Eligible& eligible, size_t count);
  // The cell of the service port that is reached at an address, or -1. For tests.
  int64_t FindService(uint8_t protocol, const Address& address);
  Shared& shared() { return shared_; }

 private:
  void PostStopListening();

  Shared shared_;
  std::vector<ListeningSocket> sockets_;  // as long as nobody listens: ours to close
  std::unique_ptr<lookup::SocketLookup> lookup_;
  bool listening_ = false;
  std::mutex update_mutex_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_ENGINE_H_
