// What of TCP's first packet matters to whoever holds it back.
#ifndef PENSTOCK_HOLD_TCP_H_
#define PENSTOCK_HOLD_TCP_H_

#include <cstddef>
#include <cstdint>

namespace penstock::hold {

// A SYN without ACK: the beginning of a connection.
bool IsSyn(const uint8_t* packet, size_t length, size_t transport);

// Makes a whole SYN look as if its client had sent it `milliseconds` later: TCP's timestamp (RFC 7323) is raised, so that the client
// does not take the time that it waited for the round-trip time, which would make its retransmissions as slow. True where
// clocks of timestamps count milliseconds, as Linux's do. `lacks_checksum`: TCP's is made anew instead of mended. False, with nothing
// changed, for a packet without timestamp.
bool AddToTimestamp(uint8_t* packet, size_t length, size_t transport, uint32_t milliseconds, bool lacks_checksum);

}  // namespace penstock::hold

#endif  // PENSTOCK_HOLD_TCP_H_
