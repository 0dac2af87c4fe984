// Whether a kernel keeps the vector registers of its programs: registers SECONDS [--spoil].
// Four processes fill xmm, ymm and zmm registers (as far as the processor has them) with words of their own, let the kernel
// run others (a system call, a signal, the end of their time), and look whether the words are still there. Ends with 1 and
// says what was found otherwise. --spoil changes a word on purpose, to show that it would be seen.
// User-mode Linux on a processor whose register set is larger than its buffer fails here (scripts/lib/vm-kernel.sh).
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr int kProcesses = 4;
constexpr int kRegisters = 16;
constexpr size_t kWidest = 64;

struct alignas(64) Registers {
  uint8_t bytes[kRegisters * kWidest];
};

volatile sig_atomic_t signals = 0;

#define EACH(X, STEP) X(0, STEP) X(1, STEP) X(2, STEP) X(3, STEP) X(4, STEP) X(5, STEP) X(6, STEP) X(7, STEP) \
  X(8, STEP) X(9, STEP) X(10, STEP) X(11, STEP) X(12, STEP) X(13, STEP) X(14, STEP) X(15, STEP)
#define LOAD_SSE(N, STEP) "movups " #N "*16(%[from]), %%xmm" #N "\n"
#define STORE_SSE(N, STEP) "movups %%xmm" #N ", " #N "*16(%[to])\n"
#define LOAD_AVX(N, STEP) "vmovups " #N "*32(%[from]), %%ymm" #N "\n"
#define STORE_AVX(N, STEP) "vmovups %%ymm" #N ", " #N "*32(%[to])\n"
#define LOAD_AVX512(N, STEP) "vmovups " #N "*64(%[from]), %%zmm" #N "\n"
#define STORE_AVX512(N, STEP) "vmovups %%zmm" #N ", " #N "*64(%[to])\n"
// sched_yield, or a loop that takes some of the process' time: nothing between fill and look is the compiler's.
#define AWAY                            \
  "test %[spins], %[spins]\n"           \
  "jnz 1f\n"                            \
  "syscall\n"                           \
  "jmp 2f\n"                            \
  "1: dec %[spins]\n"                   \
  "jnz 1b\n"                            \
  "2:\n"
#define CLOBBERED                                                                                                   \
  "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",   \
      "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define GO(LOAD, STORE)                                                                              \
  asm volatile(EACH(LOAD, ) AWAY EACH(STORE, )                                                       \
               : [spins] "+r"(spins), "+a"(call)                                                    \
               : [from] "r"(from.bytes), [to] "r"(to.bytes)                                          \
               : CLOBBERED)

enum class Width : size_t { kSse = 16, kAvx = 32, kAvx512 = 64 };

void Go(Width width, const Registers& from, Registers& to, uint64_t spins) {
  uint64_t call = SYS_sched_yield;
  switch (width) {
    case Width::kSse: GO(LOAD_SSE, STORE_SSE); break;
    case Width::kAvx: GO(LOAD_AVX, STORE_AVX); break;
    case Width::kAvx512: GO(LOAD_AVX512, STORE_AVX512); break;
  }
}

// Without an instruction that the kernel could not keep: `memcpy` may use the registers in question.
bool Same(const Registers& a, const Registers& b, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (static_cast<volatile const uint8_t*>(a.bytes)[i] != static_cast<volatile const uint8_t*>(b.bytes)[i]) return false;
  }
  return true;
}

int Run(int process, time_t until, bool spoil) {
  static const struct {
    Width width;
    const char* name;
    bool here;
  } kWidths[] = {
      {Width::kSse, "xmm", true},
      {Width::kAvx, "ymm", __builtin_cpu_supports("avx") != 0},
      {Width::kAvx512, "zmm", __builtin_cpu_supports("avx512f") != 0},
  };
  // What else keeps the kernel busy with this process.
  const itimerval often = {{0, 3000}, {0, 3000}};
  setitimer(ITIMER_REAL, &often, nullptr);
  Registers from;
  Registers to;
  uint32_t word = 0x9e3779b9u * static_cast<uint32_t>(process + 1);
  for (uint64_t round = 0; time(nullptr) < until; round++) {
    for (const auto& [width, name, here] : kWidths) {
      if (!here) continue;
      const size_t size = static_cast<size_t>(width) * kRegisters;
      for (size_t i = 0; i < size; i++) {
        word = word * 1664525u + 1013904223u;
        from.bytes[i] = static_cast<uint8_t>(word >> 24);
        to.bytes[i] = 0;
      }
      Go(width, from, to, round % 8 == 0 ? 2'000'000 : 0);
      if (spoil && round == 3) to.bytes[size - 1] ^= 1;
      if (!Same(from, to, size)) {
        printf("registers: process %d found other words in its %s registers, in round %llu\n", process, name,
               static_cast<unsigned long long>(round));
        fflush(stdout);
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "registers SECONDS [--spoil]\n");
    return 2;
  }
  const time_t until = time(nullptr) + atoi(argv[1]);
  const bool spoil = argc > 2 && strcmp(argv[2], "--spoil") == 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { signals = signals + 1; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  for (int i = 0; i < kProcesses; i++) {
    if (fork() == 0) _exit(Run(i, until, spoil));
  }
  int bad = 0;
  for (int i = 0; i < kProcesses; i++) {
    int status = 0;
    if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) bad = 1;
  }
  if (bad == 0) printf("registers: kept\n");
  return bad;
}
