// The proxy engine as a program, for the sanitizers, which do not go well with Node. Reads updates from files, as
// src/dataplane/userspace/encodeServices.ts writes them, and obeys lines on standard input:
//
//   update FILE    reset CELL    churn FILE COUNT    offer PATH    stop
//
// Says its ports and what it has done on standard output. With a path as second argument it takes over the sockets of
// another driver first.
#include <netinet/in.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <thread>
#include <vector>

#include "../engine/engine.h"
#include "../engine/takeover.h"

using penstock::engine::Engine;
using penstock::engine::EngineOptions;
using penstock::engine::Side;
using penstock::engine::Takeover;
using penstock::engine::TakeoverServer;

namespace {

bool Update(Engine& engine, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::string error;
  if (engine.Update(bytes.data(), bytes.size(), &error)) return true;
  std::cerr << "update " << file << ": " << error << "\n";
  return false;
}

void Say(const std::string& text) { std::cout << text << std::endl; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  EngineOptions options;
  options.threads = 3;
  options.descriptor_limit = 4000;
  Takeover predecessor(argc > 2 ? argv[2] : "");
  Engine engine(options, predecessor.TakeSockets());
  if (!Update(engine, argv[1])) return 1;
  engine.StartListening();
  predecessor.Confirm();
  std::unique_ptr<TakeoverServer> successor;
  std::ostringstream ports;
  ports << "ports";
  for (const uint8_t protocol : {IPPROTO_TCP, IPPROTO_UDP})
    for (const Side side : {Side::kInside, Side::kOutside}) ports << " " << engine.PortOf(protocol, AF_INET, side);
  Say(ports.str());
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command, file;
    int count = 0;
    words >> command;
    if (command == "update" && words >> file) Update(engine, file);
    if (command == "reset" && words >> count) engine.ResetEndpoint(static_cast<uint32_t>(count));
    if (command == "churn" && words >> file >> count) {
      for (int i = 0; i < count; i++) {
        Update(engine, file);
        engine.shared().TakeEvents();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    if (command == "offer" && words >> file) {
      successor = std::make_unique<TakeoverServer>(file, engine.sockets(), [] { Say("succeeded"); });
    }
    if (command == "stop") {
      successor.reset();
      engine.StopListening();
      for (int i = 0; i < 1500 && engine.shared().active > 0; i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    Say("done " + line);
  }
  Say("active " + std::to_string(engine.shared().active.load()) + " descriptors " +
      std::to_string(engine.shared().descriptors()));
  engine.Shutdown();
  return 0;
}
