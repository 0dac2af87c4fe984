#include "give_back.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace penstock {
namespace {

// One entry of /proc/self/smaps.
struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  // Of the program itself, private and never written to: neither by us nor by whoever loaded it. Its mappings stay as they were when
  // it began; those of libraries may be made anew by another thread while this one looks.
  bool may_go = false;
  uint64_t resident = 0;
};

// Of the program that runs; empty when it is not known.
std::string ProgramPath() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return length > 0 && length < static_cast<ssize_t>(sizeof path) ? std::string(path, static_cast<size_t>(length)) : std::string();
}

// Everything is read before anything is given back, so that the list does not change while it is read.
std::vector<Mapping> ReadMappings() {
  std::vector<Mapping> mappings;
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/self/smaps", "re"), fclose);
  const std::string program = ProgramPath();
  if (!file || program.empty()) return mappings;
  char line[4096];
  while (fgets(line, sizeof line, file.get())) {
    uintptr_t begin;
    uintptr_t end;
    char permissions[5];
    int path = 0;
    uint64_t kilobytes;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*x:%*x %*u %n", &begin, &end, permissions, &path) == 3 && path > 0) {
      Mapping mapping;
      mapping.begin = begin;
      mapping.end = end;
      const bool is_read_only = strcmp(permissions, "r--p") == 0 || strcmp(permissions, "r-xp") == 0;
      mapping.may_go = is_read_only && program + "\n" == line + path;
      mappings.push_back(mapping);
    } else if (mappings.empty()) {
      continue;
    } else if (sscanf(line, "Rss: %" SCNu64 " kB", &kilobytes) == 1) {
      mappings.back().resident = kilobytes * 1024;
    } else if (sscanf(line, "Anonymous: %" SCNu64 " kB", &kilobytes) == 1 || sscanf(line, "Swap: %" SCNu64 " kB", &kilobytes) == 1) {
      // Pages that were written to, in memory or swapped out: what the file has is not what they had.
      if (kilobytes != 0) mappings.back().may_go = false;
    }
  }
  return mappings;
}

napi_value GiveBackMemory(napi_env env, napi_callback_info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  uint64_t bytes = 0;
  for (const Mapping& mapping : ReadMappings()) {
    if (!mapping.may_go || mapping.resident == 0) continue;
    if (madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED) == 0)
      bytes += mapping.resident;
  }
  napi_value result;
  return napi_create_double(env, static_cast<double>(bytes), &result) == napi_ok ? result : nullptr;
}

}  // namespace

bool DefineGiveBack(napi_env env, napi_value exports) {
  napi_value function;
  return napi_create_function(env, "giveBackMemory", NAPI_AUTO_LENGTH, GiveBackMemory, nullptr, &function) == napi_ok &&
         napi_set_named_property(env, exports, "giveBackMemory", function) == napi_ok;
}

}  // namespace penstock
