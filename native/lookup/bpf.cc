#include "bpf.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

namespace penstock::lookup {

namespace {

// Helpers that only programs under the GPL may call are not used.
constexpr char kLicense[] = "Apache-2.0";
constexpr size_t kLogBytes = 16 * 1024;
constexpr size_t kLogShown = 400;

long Bpf(int command, bpf_attr* attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

uint64_t Pointer(const void* address) { return reinterpret_cast<uint64_t>(address); }

[[noreturn]] void Fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Unused fields must be zero.
bpf_attr NoAttributes() {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  return attributes;
}

}  // namespace

Assembler::Label Assembler::NewLabel() {
  labels_.push_back(SIZE_MAX);
  return labels_.size() - 1;
}

void Assembler::Place(Label label) { labels_[label] = program_.size(); }

void Assembler::Put(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = code;
  instruction.dst_reg = to & 0xf;
  instruction.src_reg = from & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  program_.push_back(instruction);
}

void Assembler::PutJump(uint8_t code, uint8_t reg, int32_t value, Label label) {
  references_.push_back({program_.size(), label});
  Put(code, reg, 0, 0, value);
}

void Assembler::Move(uint8_t to, uint8_t from) { Put(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
void Assembler::MoveImmediate(uint8_t to, int32_t value) { Put(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
void Assembler::AddImmediate(uint8_t to, int32_t value) { Put(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value); }
void Assembler::Load32(uint8_t to, uint8_t from, int16_t offset) { Put(BPF_LDX | BPF_MEM | BPF_W, to, from, offset, 0); }
void Assembler::Store32(uint8_t to, int16_t offset, uint8_t from) { Put(BPF_STX | BPF_MEM | BPF_W, to, from, offset, 0); }
void Assembler::Store32Immediate(uint8_t to, int16_t offset, uint32_t value) {
  Put(BPF_ST | BPF_MEM | BPF_W, to, 0, offset, static_cast<int32_t>(value));
}
void Assembler::LoadMap(uint8_t to, int map) {
  Put(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, map);
  Put(0, 0, 0, 0, 0);
}
void Assembler::Jump(Label label) { PutJump(BPF_JMP | BPF_JA, 0, 0, label); }
void Assembler::JumpIfEqual(uint8_t reg, int32_t value, Label label) {
  PutJump(BPF_JMP | BPF_JEQ | BPF_K, reg, value, label);
}
void Assembler::JumpIfNotEqual(uint8_t reg, int32_t value, Label label) {
  PutJump(BPF_JMP | BPF_JNE | BPF_K, reg, value, label);
}
void Assembler::Call(int32_t helper) { Put(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
void Assembler::Exit() { Put(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

std::vector<bpf_insn> Assembler::Finish() const {
  std::vector<bpf_insn> program = program_;
  for (const Reference& reference : references_) {
    if (labels_[reference.label] == SIZE_MAX) throw std::logic_error("a label of a program was not placed");
    // Counted from the next instruction.
    program[reference.at].off = static_cast<int16_t>(labels_[reference.label] - reference.at - 1);
  }
  return program;
}

UniqueFd CreateMap(bpf_map_type type, uint32_t key_bytes, uint32_t value_bytes, uint32_t entries, uint32_t flags) {
  bpf_attr attributes = NoAttributes();
  attributes.map_type = type;
  attributes.key_size = key_bytes;
  attributes.value_size = value_bytes;
  attributes.max_entries = entries;
  attributes.map_flags = flags;
  strcpy(attributes.map_name, "penstock");
  const long fd = Bpf(BPF_MAP_CREATE, &attributes);
  if (fd < 0) Fail("making a map of the socket lookup");
  return UniqueFd(static_cast<int>(fd));
}

void UpdateElement(int map, const void* key, const void* value) {
  bpf_attr attributes = NoAttributes();
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = Pointer(key);
  attributes.value = Pointer(value);
  if (Bpf(BPF_MAP_UPDATE_ELEM, &attributes) != 0) Fail("writing a map of the socket lookup");
}

void DeleteElement(int map, const void* key) {
  bpf_attr attributes = NoAttributes();
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = Pointer(key);
  if (Bpf(BPF_MAP_DELETE_ELEM, &attributes) != 0 && errno != ENOENT) Fail("writing a map of the socket lookup");
}

UniqueFd LoadProgram(bpf_prog_type type, bpf_attach_type attach, const std::vector<bpf_insn>& program, const char* name) {
  bpf_attr attributes = NoAttributes();
  attributes.prog_type = type;
  attributes.expected_attach_type = attach;
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.insns = Pointer(program.data());
  attributes.license = Pointer(kLicense);
  strncpy(attributes.prog_name, name, sizeof attributes.prog_name - 1);
  long fd = Bpf(BPF_PROG_LOAD, &attributes);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // Once more, for the verifier's words. A log that is too long is an error of its own, so the first one counts.
  const int error = errno;
  std::string log(kLogBytes, '\0');
  attributes.log_level = 1;
  attributes.log_buf = Pointer(log.data());
  attributes.log_size = kLogBytes;
  fd = Bpf(BPF_PROG_LOAD, &attributes);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  log.resize(strnlen(log.data(), log.size()));
  if (log.size() > kLogShown) log.erase(0, log.size() - kLogShown);
  errno = error;
  Fail("loading the program of the socket lookup" + (log.empty() ? log : ": " + log));
}

UniqueFd CreateLink(int program, int target, bpf_attach_type attach) {
  bpf_attr attributes = NoAttributes();
  attributes.link_create.prog_fd = static_cast<uint32_t>(program);
  attributes.link_create.target_fd = static_cast<uint32_t>(target);
  attributes.link_create.attach_type = attach;
  const long fd = Bpf(BPF_LINK_CREATE, &attributes);
  if (fd < 0) Fail("attaching the socket lookup to this network namespace");
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace penstock::lookup
