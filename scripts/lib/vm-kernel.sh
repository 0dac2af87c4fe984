# shellcheck shell=bash disable=SC2034
# Which kernel scripts/vm boots when its caller does not say. To be sourced; needs $root, sets $kernel (uml or qemu) and
# $why.
#
# User-mode Linux boots in 2 s, but version 6.1 copies the registers of its programs through a buffer that is too small for
# processors with AMX: on some of those it ends with `ptrace set fp regs failed`, on others programs find wrong words in
# their registers now and then and print garbage. So it is asked: a small program looks whether it keeps its registers.
# PENSTOCK_VM_KERNEL=uml or qemu decides without asking.

# Seconds for the machine to boot in and to end; and of the program in it.
probe_limit=180
probe_seconds=3

choose_kernel() {
  case ${PENSTOCK_VM_KERNEL:-} in
    '') ;;
    uml | qemu)
      kernel=$PENSTOCK_VM_KERNEL
      why="PENSTOCK_VM_KERNEL says so"
      return
      ;;
    *) die "PENSTOCK_VM_KERNEL is $PENSTOCK_VM_KERNEL" "It may be uml or qemu." ;;
  esac
  # Asked once for each boot of this machine and each user-mode Linux.
  local answer=$root/.cache/vm-kernel key
  key="$(cat /proc/sys/kernel/random/boot_id) $(stat -Lc '%Y %s' "$(command -v linux.uml)" 2>/dev/null || true)"
  mkdir -p "$root/.cache"
  exec 8>"$answer.lock"
  flock 8
  if [ ! -f "$answer" ] || [ "$(head -1 "$answer")" != "$key" ]; then
    ask_for_kernel
    printf '%s\n%s\n%s\n' "$key" "$kernel" "$why" >"$answer.new"
    mv "$answer.new" "$answer"
  fi
  exec 8>&-
  { read -r _ && read -r kernel && read -r why; } <"$answer"
}

ask_for_kernel() {
  local said
  kernel=qemu
  if processor_has_amx; then
    why="the processor has AMX, whose registers user-mode Linux does not keep"
  elif said=$(probe_registers 2>&1); then
    kernel=uml
    why="user-mode Linux keeps the registers of its programs"
  else
    why="user-mode Linux cannot be trusted here: $(tail -1 <<<"$said" | cut -c1-200)"
  fi
}

processor_has_amx() { grep -qwE 'amx_tile|amx_int8|amx_bf16' "${1:-/proc/cpuinfo}"; }

# Ends with 0 when a program under user-mode Linux finds its registers as it left them.
probe_registers() {
  local program=$root/.cache/registers
  if [ ! -x "$program" ] || [ "$root/scripts/lib/registers.cc" -nt "$program" ]; then
    g++ -std=c++17 -O1 -o "$program" "$root/scripts/lib/registers.cc" || return
  fi
  # The lock is not for what runs in the background there.
  "$root/scripts/vm" --uml --timeout "$probe_limit" "$program" "$probe_seconds" "$@" 8>&-
}
