#include "cells.h"

#include <sys/mman.h>

#include <new>

namespace penstock::engine {

Cells::Cells() {
  memory_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) throw std::bad_alloc();
}

Cells::~Cells() { munmap(memory_, kBytes); }

}  // namespace penstock::engine
