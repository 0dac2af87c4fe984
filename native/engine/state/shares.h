// Who may hold how many descriptors. Nobody can take all: each may only grow while what he holds is less than a multiple of
// what is free (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998). One client
// of a service port gets at most half of all, one service port four fifths; the more there are who want many, the less each gets, and
// something stays free for those who want few, and for the ends of what is open.
#ifndef PENSTOCK_ENGINE_SHARES_H_
#define PENSTOCK_ENGINE_SHARES_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "../../service/address.h"
#include "../../service/service.h"

namespace penstock::engine {

class Shares {
 public:
  // Those who share, of one connection or flow.
  struct Holder {
    uint32_t service;  // its cell
    uint32_t tenant;   // its namespace, as a number
    uint32_t client;   // of the service port: a hash of both
  };

  Shares()
      : services_(new std::atomic<int32_t>[kServices]()),
        tenants_(new std::atomic<int32_t>[kTenants]()),
        clients_(new std::atomic<int32_t>[kClients]()) {}

  static Holder HolderOf(const Service& service, Address client) {
    client.port = 0;
    // Who has taken much of one Service may still call others.
    return {service.cell, service.tenant, static_cast<uint32_t>(HashOf(client) ^ service.cell * 0x9e3779b1ULL)};
  }

  // `free`: descriptors that nobody holds. False when the holder has enough already.
  bool Take(const Holder& holder, int count, int free) {
    std::atomic<int32_t>* const held[] = {&services_[holder.service % kServices], &tenants_[holder.tenant % kTenants],
                                          &clients_[holder.client % kClients]};
    for (size_t i = 0; i < 3; i++) {
      const int64_t most = std::max<int64_t>(kAlways, int64_t{kMultiples[i]} * free);
      if (held[i]->load(std::memory_order_relaxed) + count > most) return false;
    }
    for (std::atomic<int32_t>* each : held) each->fetch_add(count, std::memory_order_relaxed);
    return true;
  }
  void Return(const Holder& holder, int count) {
    services_[holder.service % kServices].fetch_sub(count, std::memory_order_relaxed);
    tenants_[holder.tenant % kTenants].fetch_sub(count, std::memory_order_relaxed);
    clients_[holder.client % kClients].fetch_sub(count, std::memory_order_relaxed);
  }

 private:
  // The cells of service ports; clients and tenants of one number count as one.
  static constexpr size_t kServices = size_t{1} << 18;
  static constexpr size_t kTenants = size_t{1} << 12;
  static constexpr size_t kClients = size_t{1} << 16;
  // Of a service port, a tenant, a client.
  static constexpr int kMultiples[] = {4, 8, 1};
  // As many as that anybody may have.
  static constexpr int64_t kAlways = 8;

  std::unique_ptr<std::atomic<int32_t>[]> services_;
  std::unique_ptr<std::atomic<int32_t>[]> tenants_;
  std::unique_ptr<std::atomic<int32_t>[]> clients_;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_SHARES_H_
