#!/bin/sh
# root.sh ROOT DATA_BYTES QEMU: becomes process 1 of an emulated device, in namespaces of its own
# (unshare --user --mount --pid --fork). It lives until its standard input ends, and everything that
# runs on the device ends with it.
set -eu
root=$1 data_bytes=$2 qemu=$3

mount --bind "$root" "$root"
# Android's writable storage: small, so that it can be full.
mount -t tmpfs -o "size=$data_bytes,mode=0771" data "$root/data"
mkdir -p "$root/data/local/tmp"
mount -t proc proc "$root/proc"
for node in null zero urandom; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
# What programs and doctor read of the machine is the device's own.
for file in meminfo cpuinfo; do
  mount --bind "$root/emulated/$file" "$root/proc/$file"
done

# aarch64 programs run by themselves: a registration of this user namespace (Linux 6.7 and newer).
# F: the interpreter is opened now, here, for use inside the root.
mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":qemu-aarch64:M::$magic:$mask:$qemu:F" > "$root/proc/sys/fs/binfmt_misc/register"

echo ready
exec chroot "$root" /system/bin/toybox cat > /dev/null
