#ifndef PENSTOCK_ANNOUNCE_ORDERS_H_
#define PENSTOCK_ANNOUNCE_ORDERS_H_

#include <cstdint>
#include <vector>

#include "core.h"

namespace penstock::announce {

// What TypeScript orders, in records of orders.ts.
enum class Command : uint8_t { kObserve, kClaim, kCede, kRelease, kForget, kAnnounce };

struct Order {
  Command command;
  int interface;
  Ip address;
  Core::Claim claim;
  Time within;
};

void RunOrders(Core* core, const std::vector<Order>& orders, Time now);

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_ORDERS_H_
