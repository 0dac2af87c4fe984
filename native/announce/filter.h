// The classic BPF program of a packet socket: only frames about certain addresses wake the thread.
#ifndef PENSTOCK_ANNOUNCE_FILTER_H_
#define PENSTOCK_ANNOUNCE_FILTER_H_

#include <linux/filter.h>

#include <vector>

#include "core.h"

namespace penstock::announce {

// Lets more through when there are many scattered addresses: the program has a largest size. Core looks exactly.
std::vector<sock_filter> FilterFor(const Core::Wanted& wanted);

}  // namespace penstock::announce

#endif  // PENSTOCK_ANNOUNCE_FILTER_H_
