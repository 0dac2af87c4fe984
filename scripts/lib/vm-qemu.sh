# shellcheck shell=bash disable=SC2154,SC2034
# A machine of scripts/vm with Debian's own kernel under qemu. To be sourced; needs $root, $job and $memory, sets
# $machine.

# What must be there before the host's files are.
early_modules=(virtio_pci virtio_console 9pnet_virtio 9p overlay)

prepare_machine() {
  # shellcheck source=scripts/lib/packages.sh
  . "$root/scripts/lib/packages.sh"
  install_missing vm qemu-system-x86_64:qemu-system-x86 busybox:busybox-static modprobe:kmod ipvsadm:ipvsadm \
    iptables:iptables ip:iproute2 ipset:ipset
  local package
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p')
  [ -n "$package" ] || die "apt knows no linux-image-amd64" "Run: apt-get update"
  kernel_files=$root/.cache/kernel/$package
  release=${package#linux-image-}
  # One at a time: the kernel is fetched once.
  (
    flock 9
    [ -f "$kernel_files/initramfs" ] || fetch_kernel "$package"
  ) 9>"$root/.cache/kernel.lock"
}

fetch_kernel() {
  local package=$1
  echo "vm: fetching $package" >&2
  mkdir -p "$kernel_files"
  (cd "$kernel_files" && apt-get download -qq "$package" && dpkg -x ./*.deb . && rm ./*.deb) ||
    die "apt-get could not download $package" "Its own words are above."
  depmod -b "$kernel_files" "$release"
  make_initramfs
}

# busybox, the early modules in the order in which they need each other, and a first process that mounts the host's
# files and goes on there.
make_initramfs() {
  local tree=$job/initramfs
  mkdir -p "$tree"/{bin,modules,proc,dev,host,mnt}
  cp "$(command -v busybox)" "$tree/bin/busybox"
  ln -s busybox "$tree/bin/sh"
  cp "$root/scripts/lib/vm-qemu-initramfs" "$tree/init"
  local _ file
  modprobe -d "$kernel_files" -S "$release" --show-depends -a "${early_modules[@]}" |
    while read -r _ file; do
      [ -f "$tree/modules/$(basename "$file")" ] && continue
      cp "$file" "$tree/modules/"
      basename "$file" >>"$tree/modules/order"
    done
  (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$kernel_files/initramfs.new"
  mv "$kernel_files/initramfs.new" "$kernel_files/initramfs"
}

# The command's output comes out of two ports of a virtual device, through the pipes; the console has the kernel's words.
start_machine() {
  setsid qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -m "$memory" -nodefaults -display none -no-reboot \
    -kernel "$kernel_files/boot/vmlinuz-$release" -initrd "$kernel_files/initramfs" \
    -append "console=ttyS0 quiet mitigations=off PENSTOCK_VM_JOB=$job PENSTOCK_VM_ROOT=$root PENSTOCK_VM_MODULES=$kernel_files/lib/modules" \
    -serial "file:$job/console" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$root/.cache,mount_tag=shared,security_model=none,multidevs=remap" \
    -device virtio-serial -chardev "file,id=out,path=$job/out" -device virtserialport,chardev=out \
    -chardev "file,id=err,path=$job/err" -device virtserialport,chardev=err </dev/null >"$job/qemu" 2>&1 &
  machine=$!
}
