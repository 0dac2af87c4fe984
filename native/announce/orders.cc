#include "orders.h"

namespace penstock::announce {

void RunOrders(Core* core, const std::vector<Order>& orders, Time now) {
  for (const Order& order : orders) {
    switch (order.command) {
      case Command::kObserve:
        core->Observe(order.interface, order.address);
        break;
      case Command::kClaim:
        core->BeginClaim(order.interface, order.address, order.claim, now);
        break;
      case Command::kCede:
        core->Cede(order.interface, order.address, order.within, now);
        break;
      case Command::kRelease:
        core->Release(order.interface, order.address);
        break;
      case Command::kForget:
        core->Forget(order.interface, order.address);
        break;
      case Command::kAnnounce:
        core->Announce(order.interface, order.address, now);
        break;
    }
  }
}

}  // namespace penstock::announce
