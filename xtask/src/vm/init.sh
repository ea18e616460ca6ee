#!/bin/busybox sh
# The guest's first process: makes the few directories that programs expect, inserts the modules, runs
# the tests, and switches the machine off. What the tests find goes out over the second serial line.
export PATH=/bin:/busybox HOME=/tmp
/bin/busybox mkdir -p /busybox
/bin/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t tmpfs var /var
mkdir -p /run/netns /var/run
stty -F /dev/ttyS1 raw -echo
ip link set lo up

for module in /modules/*; do
    insmod "$module" || echo "cannot insert $module"
done

export XSTUN_BIN=/bin/xstun XSTUN_EBPF_OBJECT=/xstun-ebpf.o XSTUN_CORPORA=/corpora XSTUN_VM_REPORT=/dev/ttyS1
if grep -q xstun.probe /proc/cmdline; then
    echo '{"kernel":"probe"}' > /dev/ttyS1
else
    vm /cases.json
fi
sync
poweroff -f
