# shellcheck shell=bash disable=SC2154,SC2034
# What the first process of every machine of scripts/vm does, once its root can be written. To be sourced; needs
# $PENSTOCK_VM_JOB, mount_shared FOLDER, and find_lines, which sets $stdout and $stderr to where output goes.

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# A project below /tmp must stay visible; what the guest writes there goes to the overlay, and with it.
case $PENSTOCK_VM_JOB in /tmp/*) ;; *) mount -t tmpfs tmpfs /tmp ;; esac
chmod 1777 /tmp /dev/shm
mkdir -p /run/netns
ln -sfn /proc/self/fd /dev/fd
export PENSTOCK_VM=1
mount_shared "${PENSTOCK_VM_JOB%/*}"
hostname vm
ip link set lo up

. "${BASH_SOURCE%/*}/ipvs-modules.sh"
load_ipvs_modules

# The command writes to pipes: to a terminal, many would write in colour.
find_lines
mkfifo /run/out /run/err
for line in "$stdout" "$stderr"; do
  if [ -t 0 ] <"$line"; then stty -F "$line" raw -echo; fi
done
cat </run/out >"$stdout" &
cat </run/err >"$stderr" &
bash "$PENSTOCK_VM_JOB/command" </dev/null >/run/out 2>/run/err
code=$?
# What the command left running may hold the pipes open.
for ((i = 0; i < 20; i++)); do
  [ -n "$(jobs -r)" ] || break
  sleep 0.1
done
echo $code >"$PENSTOCK_VM_JOB/code"
sync
echo o >/proc/sysrq-trigger
sleep 60
