// The one connection that an ejected endpoint gets when its time is over. No client waits for it.
#ifndef PENSTOCK_ENGINE_PROBE_H_
#define PENSTOCK_ENGINE_PROBE_H_

#include "worker.h"

namespace penstock::engine {

class Probe final : public Source, public Timer {
 public:
  // Ends by itself and frees itself.
  static void Start(Worker& worker, const ServicePointer& service, const Endpoint& endpoint);
  ~Probe() override;
  void OnEvents(uint32_t events) override;
  void OnTimer(uint64_t now_ms) override;

 private:
  Probe(Worker& worker, ServicePointer service, uint32_t endpoint_cell);
  void End(bool answered);

  Worker& worker_;
  ServicePointer service_;
  uint32_t endpoint_cell_;
  int fd_ = -1;
};

}  // namespace penstock::engine

#endif  // PENSTOCK_ENGINE_PROBE_H_
