#!/bin/sh
# Of dpkg: postinst configure [VERSION-BEFORE]. Of rpm: 1 on installation, 2 on upgrade.
set -e
first=
case $1 in
configure)
	if [ -z "$2" ]; then first=deb; elif [ -e /run/image2ipfs.removed-before ]; then first=again; fi
	rm -f /run/image2ipfs.removed-before ;;
1) first=rpm ;;
esac
if [ -n "$first" ] && [ ! -d /var/lib/image2ipfs ]; then
	install -d -o image2ipfs -g image2ipfs -m 0750 /var/lib/image2ipfs
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
start() {
	if [ -x /usr/sbin/policy-rc.d ] && ! /usr/sbin/policy-rc.d image2ipfs start; then return; fi
	# A service that does not start, be it that its port is taken, is no broken package.
	systemctl start image2ipfs.service || echo "image2ipfs: the service does not start: journalctl -u image2ipfs tells why" >&2
}
case $first in
deb) # Debian starts what is installed
	systemctl enable --quiet image2ipfs.service
	start ;;
again) # enabled or not as it was when it was removed
	if systemctl is-enabled --quiet image2ipfs.service; then start; fi ;;
rpm) systemctl preset --quiet image2ipfs.service ;; # the distribution or the administrator decides
*) systemctl try-restart image2ipfs.service || true ;;
esac
