// Counts connections as native/choice/ does while threads of it disagree about the time. Takes a file of records
// (src/dataplane/choice/encodeChoice.ts) and the cell of the only endpoint, whose connections are in the kernel's table.
// Prints a line for each thing that it finds: words, a colon, a number.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "../../native/choice/connections.h"
#include "../../native/choice/fair_lock.h"
#include "../../native/choice/health.h"
#include "../../native/choice/services.h"
#include "../../native/service/cells.h"

using penstock::choice::Connections;
using penstock::choice::Failure;
using penstock::choice::FairLock;
using penstock::choice::Health;
using penstock::choice::Milliseconds;
using penstock::choice::Services;
using penstock::engine::Cells;

namespace {

constexpr Milliseconds kBegin = 1'000'000;
constexpr int kMostTurns = 10'000;
constexpr int kThreads = 8;
constexpr int kTimes = 200;

void Say(const char* what, uint64_t number) { printf("%s: %llu\n", what, static_cast<unsigned long long>(number)); }

// Until everything was counted once more. Returns the fewest connections that were known meanwhile.
uint64_t Recount(Connections* connections, Milliseconds* now) {
  const uint64_t before = connections->recounted();
  uint64_t fewest = UINT64_MAX;
  for (int i = 0; i < kMostTurns && connections->recounted() == before; i++) {
    connections->Read(*now += 10);
    fewest = std::min(fewest, connections->counted());
  }
  return connections->recounted() == before ? 0 : fewest;
}

// Leaves a list of which a part was read.
void BeginList(Connections* connections, Milliseconds* now) {
  connections->Doubt();
  connections->Read(*now += 2'000);
  connections->Read(*now);
}

void CheckLists(const Cells& cells, const Services& services, Health* health) {
  Connections connections(cells, services, health);
  Milliseconds now = kBegin;
  Recount(&connections, &now);
  Say("at first", connections.counted());

  BeginList(&connections, &now);
  const uint64_t lists = connections.recounted();
  connections.Read(now - 1);
  Say("lists that were over too soon", connections.recounted() - lists);
  const uint64_t after_one = Recount(&connections, &now);
  Say("after an older time", std::min(after_one, Recount(&connections, &now)));

  BeginList(&connections, &now);
  connections.Read(now += 31'000);
  const uint64_t after_late = Recount(&connections, &now);
  Say("after a list that was given up", std::min(after_late, Recount(&connections, &now)));
}

void CheckHealth(const Cells& cells, Health* health, uint32_t cell) {
  health->Failed(cell, Failure::kSilent, kBegin);
  health->Failed(cell, Failure::kSilent, kBegin - 1);
  Say("away after two failures", health->IsAway(cell, kBegin) ? 1 : 0);
  const Milliseconds back = cells.endpoint(cell).ejected_until.load();
  health->Picked(cell, back + 10);
  Say("a second one tries", health->May(cell, back + 9) ? 1 : 0);
}

// The most turns of threads, each of which wants the next at once, that JavaScript waited for.
uint64_t MostTurns() {
  FairLock lock;
  std::atomic<uint64_t> turns{0};
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      while (!is_over) {
        const auto guard = lock.Take();
        turns++;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  uint64_t most = 0;
  for (int i = 0; i < kTimes; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const uint64_t before = turns;
    const auto guard = lock.TakeSoon();
    most = std::max(most, turns - before);
  }
  is_over = true;
  for (std::thread& each : threads) each.join();
  return most;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 3) return 2;
  std::ifstream in(arguments[1], std::ios::binary);
  const std::vector<uint8_t> records((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto cell = static_cast<uint32_t>(atoi(arguments[2]));
  Cells cells;
  Services services;
  Health health(cells);
  if (!services.Update(records.data(), records.size())) return 1;
  CheckLists(cells, services, &health);
  CheckHealth(cells, &health, cell);
  Say("most turns", MostTurns());
  return 0;
}
