#!/bin/sh
# The service's user is there before its files are. It is never removed, since
# another one would get its number, and with that its store.
set -e
if ! getent passwd image2ipfs >/dev/null; then
	useradd --system --user-group --no-create-home --home-dir /var/lib/image2ipfs \
		--shell /usr/sbin/nologin --comment "image2ipfs registry" image2ipfs
fi
# Of dpkg: preinst install VERSION-BEFORE where it was removed and not purged, which
# postinst cannot tell from an upgrade.
case $1 in
install) if [ -n "$2" ]; then : >/run/image2ipfs.removed-before; fi ;;
esac
