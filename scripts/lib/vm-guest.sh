# What the first process of every machine of scripts/vm does, once its root can be written. To be sourced; needs
# $PENSTOCK_VM_JOB, mount_shared FOLDER, and the devices $stdout and $stderr.

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
chmod 1777 /tmp /dev/shm
mkdir -p /run/netns
ln -sfn /proc/self/fd /dev/fd
export PENSTOCK_VM=1
mount_shared "${PENSTOCK_VM_JOB%/*}"
hostname vm
ip link set lo up

. "${BASH_SOURCE%/*}/ipvs-modules.sh"
load_ipvs_modules

for line in "$stdout" "$stderr"; do
  stty -F "$line" raw -echo 2>/dev/null || true
done
bash "$PENSTOCK_VM_JOB/command" </dev/null >"$stdout" 2>"$stderr"
echo $? >"$PENSTOCK_VM_JOB/code"
sync
echo o >/proc/sysrq-trigger
sleep 60
