#!/bin/sh
# Of dpkg: prerm remove, or prerm upgrade. Of rpm: 0 on removal, 1 on upgrade.
set -e
[ -d /run/systemd/system ] || exit 0
case $1 in
remove) systemctl --quiet stop image2ipfs.service ;; # whether it is enabled is kept until it is purged
0) systemctl --quiet disable --now image2ipfs.service ;;
esac
