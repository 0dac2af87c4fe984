// ICMP "port unreachable" to a client whose datagram nobody took. Conntrack translates it back to the VIP.
#ifndef PENSTOCK_ENGINE_PORT_UNREACHABLE_H_
#define PENSTOCK_ENGINE_PORT_UNREACHABLE_H_

#include "../../service/address.h"

namespace penstock::engine {

// A raw socket; -1 without CAP_NET_RAW: clients then wait in vain.
int OpenIcmpSocket(uint8_t family);

// About a datagram from `client` to our `local` address and port.
void SendPortUnreachable(int icmp, const Address& client, const Address& local);

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PORT_UNREACHABLE_H_
