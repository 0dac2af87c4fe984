#include "engine.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <random>
#include <system_error>

#include "bind_ports.h"
#include "../service/prepare.h"

namespace penstock::engine {

Engine::Engine(const EngineOptions& options, std::vector<ListeningSocket> inherited)
    : shared_(options.descriptor_limit, options.mark), sockets_(std::move(inherited)) {
  if (sockets_.empty()) sockets_ = BindPorts(options);
  if (options.untranslated && PortOf(IPPROTO_TCP, AF_INET, Side::kUntranslated) == 0) {
    for (const ListeningSocket& socket : BindUntranslated(options)) sockets_.push_back(socket);
  }
  try {
    std::random_device seed;
    for (size_t i = 0; i < options.threads; i++) {
      workers_.push_back(std::make_unique<Worker>(shared_, seed()));
      workers_.back()->Start();
    }
  } catch (...) {
    // Without a whole engine nobody else closes the sockets.
    Shutdown();
    throw;
  }
}

Engine::~Engine() { Shutdown(); }

void Engine::Shutdown() {
  lookup_.reset();
  for (auto& worker : workers_) worker->Stop();
  workers_.clear();
  for (const ListeningSocket& socket : sockets_) close(socket.fd);
  sockets_.clear();
}

uint16_t Engine::PortOf(uint8_t protocol, uint8_t family, Side side) const {
  for (const ListeningSocket& socket : sockets_)
    if (socket.protocol == protocol && socket.family == family && socket.side == side) return socket.port;
  return 0;
}

bool Engine::Update(const uint8_t* data, size_t length, std::string* error) {
  const std::lock_guard<std::mutex> lock(update_mutex_);
  uint64_t generation;
  auto next = Snapshot::Apply(*shared_.Current(&generation), data, length, error);
  if (!next) return false;
  shared_.Publish(std::move(next));
  // Whoever has nothing to do sees it later; who waits for it must not.
  if (shared_.waiting.load() > 0)
    for (auto& worker : workers_) worker->Post([] {});
  return true;
}

// The sockets are shared out among the threads: one of each kind for each, unless another number was inherited.
void Engine::StartListening() {
  if (listening_) return;
  std::vector<ListeningSocket> own;
  for (const ListeningSocket& socket : sockets_) {
    // The threads close theirs; ours stay, to be handed over.
    const int fd = fcntl(socket.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
      const int error = errno;
      for (const ListeningSocket& each : own) close(each.fd);
      throw std::system_error(error, std::generic_category(), "dup of a listening socket");
    }
    own.push_back(socket);
    own.back().fd = fd;
  }
  std::vector<std::future<int>> outcomes;
  for (size_t i = 0; i < own.size(); i++) {
    Worker& worker = *workers_[i % workers_.size()];
    auto outcome = std::make_shared<std::promise<int>>();
    outcomes.push_back(outcome->get_future());
    worker.Post([&worker, outcome, socket = own[i]] { outcome->set_value(worker.Listen(socket) ? 0 : errno); });
  }
  int error = 0;
  for (std::future<int>& outcome : outcomes)
    if (const int each = outcome.get()) error = each;
  if (error == 0) {
    listening_ = true;
    return;
  }
  // Connections are spread over all sockets: those that nobody accepts from would wait for ever.
  PostStopListening();
  throw std::system_error(error, std::generic_category(), "waiting for connections");
}

void Engine::PostStopListening() {
  for (auto& worker : workers_) worker->Post([each = worker.get()] { each->StopListening(); });
}

void Engine::StopListening() {
  PostStopListening();
  for (const ListeningSocket& socket : sockets_) close(socket.fd);
  sockets_.clear();
  listening_ = false;
}

std::vector<uint32_t> Engine::Picks(uint32_t service_cell, size_t list, uint32_t seed,
                                    const std::vector<uint8_t>& client, const Eligible& eligible, size_t count) {
  uint64_t generation;
  const auto snapshot = shared_.Current(&generation);
  const ServicePointer* service = snapshot->ByCell(service_cell);
  if (service == nullptr || list >= (*service)->lists.size()) return {};
  const EndpointList& endpoints = (*service)->lists[list];
  if (!eligible.empty() && eligible.size() != endpoints.endpoints.size()) return {};
  Random random(seed);
  std::atomic<uint64_t> cursor{0};
  const uint32_t hash = Murmur3(client.data(), client.size(), 0);
  std::vector<uint32_t> picked;
  for (size_t i = 0; i < count; i++)
    picked.push_back(
        PickEndpoint((*service)->algorithm, endpoints, eligible, shared_.cells, cursor, hash, random));
  return picked;
}

int64_t Engine::FindService(uint8_t protocol, const Address& address) {
  uint64_t generation;
  const auto snapshot = shared_.Current(&generation);
  const Snapshot::Found found = snapshot->Find(protocol, address);
  return found.service == nullptr ? -1 : static_cast<int64_t>((*found.service)->cell);
}

void Engine::SetUntranslatedRanges(const std::vector<lookup::Range>& ranges) {
  if (lookup_ == nullptr) {
    int listeners[2] = {-1, -1};
    for (const ListeningSocket& socket : sockets_)
      if (socket.side == Side::kUntranslated) listeners[socket.family == AF_INET ? 0 : 1] = socket.fd;
    if (listeners[0] < 0 && listeners[1] < 0)
      throw std::system_error(ENOTCONN, std::generic_category(), "a socket lookup without a listening socket");
    lookup_ = std::make_unique<lookup::SocketLookup>(listeners[0], listeners[1]);
  }
  lookup_->SetRanges(ranges);
}

void Engine::ResetEndpoint(uint32_t endpoint_cell) {
  for (auto& worker : workers_)
    worker->Post([each = worker.get(), endpoint_cell] { each->ResetEndpoint(endpoint_cell); });
}

}  // namespace penstock::engine
