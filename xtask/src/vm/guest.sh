# The second program of a guest, on its final root: mounts the rest, loads the drivers of its devices, runs what its arguments
# say, powers off.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=512000 "$GUEST_SHARED_TAG" "$GUEST_SHARED"
mkdir -p "/lib/modules/$(uname -r)" /run/lock
mount --bind "$GUEST_MODULES" "/lib/modules/$(uname -r)"
# The machine's own modprobe may be missing; the kernel calls this one too.
rm -f /sbin/modprobe
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$GUEST_LIBRARIES" "$GUEST_MODPROBE" > /sbin/modprobe
chmod 755 /sbin/modprobe
echo /sbin/modprobe > /proc/sys/kernel/modprobe
echo guest > /proc/sys/kernel/hostname
ip link set lo up
for driver in igb igbvf virtio_net tun; do
    modprobe "$driver" || echo "guest: no driver $driver"
done
echo "guest: up after $(cut -d ' ' -f 1 /proc/uptime) s"
"$@"
status=$?
sync
# isa-debug-exit: QEMU ends with twice this plus one.
printf "\\$(printf %o $((status + 1)))" | dd of=/dev/port bs=1 seek=244 2>/dev/null
echo "guest: still here"
