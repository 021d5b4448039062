#!/bin/bash
# boot.sh ROOT FOLDER: boots the systemd of ROOT, a Debian, in namespaces of its own, with loopback as its only network.
# What it writes goes into memory, ROOT stays as it is. Whoever wants in calls nsenter(1) on the process that is systemd. A
# reboot boots it again; when systemd ends otherwise, all of it is gone. FOLDER is a folder to mount on.
set -euo pipefail
root=$1 folder=$2

if [ "${3:-}" = "" ]; then
  # A control group of its own: systemd takes the one it is in for the root of all.
  groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  group=$groups/tpa-submit-boot-$$
  mkdir "$group"
  echo $$ >"$group/cgroup.procs"
  status=0
  setpriv --pdeathsig KILL unshare --mount --propagation private "$0" "$root" "$folder" mount || status=$?
  echo $$ >"$groups/cgroup.procs"
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  exit $status
fi

if [ "$3" = mount ]; then
  mount -t tmpfs tmpfs "$folder"
  mkdir "$folder/changes" "$folder/work" "$folder/root"
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
  while :; do
    status=0
    setpriv --pdeathsig KILL unshare --mount --cgroup --net --uts --ipc --pid --fork --kill-child "$0" "$root" "$folder" boot || status=$?
    [ $status = 129 ] || exit $status # SIGHUP is how the kernel tells a reboot in a namespace
  done
fi

cd "$folder/root"
mount --bind . .
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch dev/$device
  mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for link in "pts/ptmx ptmx" "/proc/self/fd fd" "fd/0 stdin" "fd/1 stdout" "fd/2 stderr"; do
  # shellcheck disable=SC2086
  ln -s ${link% *} dev/${link#* }
done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
ip link set lo up
hostname submission
hostname >etc/hostname
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
# systemd leaves that to who runs the container, and without it no service sees its credentials (LoadCredential=).
mount --make-rshared /
exec env -i container=tpa-submit PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=journal --unit=multi-user.target
