#!/bin/sh
# Makes in the directory $1 the tars of a Debian root: v1.tar, v2.tar after
# `apt-get upgrade` with the security archive, v1m.tar with nothing but new
# mtimes. Needs root, debootstrap and the mirror that apt uses.
set -eu
cd "$1"
[ ! -e v1m.tar ] || exit 0
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
clean() { rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb; }
debootstrap --variant=minbase --include=python3,perl,curl,openssl,ca-certificates,git,vim-tiny,gnupg "$codename" root1 "$mirror" >debootstrap.log
clean root1
tar --sort=name -C root1 -cf v1.tar .
cp -a root1 root2
cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d root2/etc/apt/
cp /etc/resolv.conf root2/etc/
cp -a /usr/local/share/ca-certificates root2/usr/local/share/
cp -a /etc/ssl/certs root2/etc/ssl/
chroot root2 apt-get update -qq >>debootstrap.log
DEBIAN_FRONTEND=noninteractive chroot root2 apt-get -y -qq upgrade >>debootstrap.log
clean root2
tar --sort=name -C root2 -cf v2.tar .
find root1 -exec touch -h {} +
tar --sort=name -C root1 -cf v1m.tar.part .
rm -rf --one-file-system root1 root2
mv v1m.tar.part v1m.tar
