#!/bin/busybox sh
# The first program of a guest: makes the machine's files its root, with a layer in memory that takes all changes.
b=/bin/busybox
fail() {
    echo "guest: $1"
    $b reboot -f
}
@LOAD_MODULES@
$b mount -t devtmpfs dev /dev || fail "no device files"
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 @ROOT_TAG@ /machine || fail "no root file system"
$b mount -t tmpfs -o size=75% layer /layer || fail "no file system in memory"
$b mkdir /layer/changes /layer/work
$b mount -t overlay -o lowerdir=/machine,upperdir=/layer/changes,workdir=/layer/work root /newroot || fail "no layers"
$b mount --move /dev /newroot/dev || fail "no device files in the root"
exec $b switch_root /newroot /bin/sh @SCRIPT@
