# shellcheck shell=bash disable=SC2154,SC2034
# A machine of scripts/vm under user-mode Linux. To be sourced; needs $root, $job
# and $memory, sets $machine.

prepare_machine() {
  # shellcheck source=scripts/lib/packages.sh
  . "$root/scripts/lib/packages.sh"
  install_missing vm linux.uml:user-mode-linux modprobe:kmod ipvsadm:ipvsadm iptables-legacy:iptables ip:iproute2 ipset:ipset
}

# The command's output comes out of two serial lines, descriptors 3 and 4; the console has the kernel's words only.
# Without uml_dir the machine notes itself in a folder of $HOME, and panics where there is none.
start_machine() {
  setsid linux.uml rootfstype=hostfs rootflags=/ ro "mem=${memory}M" "uml_dir=$job/" selinux=0 quiet \
    con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 ssl1=null,fd:4 \
    "init=$root/scripts/lib/vm-uml-init" "PENSTOCK_VM_JOB=$job" </dev/null >"$job/console" 2>&1 &
  machine=$!
}
