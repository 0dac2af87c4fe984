// The bpf() system call, as far as it is needed here: no compiler, no libbpf. Shapes: linux/bpf.h.
#ifndef PENSTOCK_LOOKUP_BPF_H_
#define PENSTOCK_LOOKUP_BPF_H_

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "../unique_fd.h"

namespace penstock::lookup {

// A program, written with labels. Registers are BPF_REG_0 to BPF_REG_10.
class Assembler {
 public:
  using Label = size_t;

  Label NewLabel();
  // The label is the next instruction.
  void Place(Label label);

  void Move(uint8_t to, uint8_t from);
  void MoveImmediate(uint8_t to, int32_t value);
  void AddImmediate(uint8_t to, int32_t value);
  // to = *(u32*)(from + offset).
  void Load32(uint8_t to, uint8_t from, int16_t offset);
  // *(u32*)(to + offset) = from, or a constant.
  void Store32(uint8_t to, int16_t offset, uint8_t from);
  void Store32Immediate(uint8_t to, int16_t offset, uint32_t value);
  void LoadMap(uint8_t to, int map);
  void Jump(Label label);
  void JumpIfEqual(uint8_t reg, int32_t value, Label label);
  void JumpIfNotEqual(uint8_t reg, int32_t value, Label label);
  void Call(int32_t helper);
  void Exit();

  // Every label must have been placed.
  std::vector<bpf_insn> Finish() const;

 private:
  struct Reference {
    size_t at;
    Label label;
  };

  void Put(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t immediate);
  void PutJump(uint8_t code, uint8_t reg, int32_t value, Label label);

  std::vector<bpf_insn> program_;
  std::vector<size_t> labels_;
  std::vector<Reference> references_;
};

// Each throws std::system_error.
UniqueFd CreateMap(bpf_map_type type, uint32_t key_bytes, uint32_t value_bytes, uint32_t entries, uint32_t flags);
void UpdateElement(int map, const void* key, const void* value);
// No error when there is none.
void DeleteElement(int map, const void* key);
// The message ends with what the kernel's verifier says.
UniqueFd LoadProgram(bpf_prog_type type, bpf_attach_type attach, const std::vector<bpf_insn>& program, const char* name);
// In force as long as somebody holds it.
UniqueFd CreateLink(int program, int target, bpf_attach_type attach);

}  // namespace penstock::lookup

#endif  // PENSTOCK_LOOKUP_BPF_H_
