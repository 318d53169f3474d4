#!/bin/sh
# Of dpkg: prerm remove, or prerm upgrade. Of rpm: 0 on removal, 1 on upgrade.
set -e
case $1 in
remove | 0)
	if [ -d /run/systemd/system ]; then systemctl --quiet disable --now image2ipfs.service; fi ;;
esac
