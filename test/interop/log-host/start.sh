# The inside of a host of its own: folders, the journal, rsyslog. FOLDER has its configuration.
set -e
folder=$1
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mount --bind "$folder/systemd" /etc/systemd
ip link set lo up
echo 512 >/proc/sys/net/unix/max_dgram_qlen # as systemd does, long before journald
mkdir -p /run/systemd/journal /run/log/journal
/lib/systemd/systemd-journald &
until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
rsyslogd -n -i NONE -f "$folder/rsyslog.conf" &
until [ -S /run/systemd/journal/syslog ]; do sleep 0.05; done
echo ready
exec sleep infinity
