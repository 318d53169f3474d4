#!/bin/sh
# The store is what users published: no package manager removes it.
set -e
if [ "$1" = purge ]; then rm -f /etc/systemd/system/*.wants/image2ipfs.service; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
case $1 in
purge | 0)
	if [ -d /var/lib/image2ipfs ]; then
		echo "image2ipfs: the store in /var/lib/image2ipfs is kept; rm -r removes it" >&2
	fi ;;
esac
