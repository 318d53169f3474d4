#!/bin/bash
# Packages on a real Debian with a real systemd: the deb is installed, its service
# started as it ships, used, upgraded, removed and purged; then the rpm, by rpm.
# Root on Debian alone; the machine is namespaces and an overlay over the root
# that hack/engines.sh makes, and nothing of it outlives this script.
set -euo pipefail
cd "$(dirname "$0")/.."

HACK=$PWD/hack
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
tmp=$(mktemp -d)
init=
say() { echo "packages-test: $*"; }
die() { say "$*" >&2; exit 1; }

finish() {
	local rc=$?
	if [ $rc != 0 ]; then tail -n 20 "$tmp"/*.log >&2 || true; fi
	if [ -n "$init" ]; then kill -9 "$init" 2>/dev/null || true; wait 2>/dev/null || true; fi
	rm -rf --one-file-system "$tmp"
	for v in "${made[@]}"; do rm -rf "dist/$v"; done
}
made=()
trap finish EXIT

# boot is run as the first process of the machine and becomes its systemd.
boot() {
	local root=$1/root layers=$1/layers
	mkdir -p "$root" "$layers"
	mount -t tmpfs tmpfs "$layers"
	mkdir "$layers"/{upper,work}
	mount -t overlay -o "lowerdir=$2,upperdir=$layers/upper,workdir=$layers/work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs -o ro sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount --bind /dev "$root/dev"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
	mount -t tmpfs tmpfs "$root/dev/shm"
	rm -f "$root/usr/sbin/policy-rc.d" # services start here
	mkdir -p "$root/packages"
	cp "$1"/packages/* "$root/packages/"
	ip link set lo up
	# The root of the namespace, not of a process alone: systemd makes services
	# namespaces of their own out of it.
	cd "$root"
	mkdir old
	pivot_root . old
	umount -l old
	rmdir old
	exec chroot . env -i container=test PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --system --unit=basic.target --show-status=no
}
if [ "${1:-}" = boot ]; then trap - EXIT; rm -rf "$tmp"; boot "$2" "$3"; fi

on() { nsenter --target "$init" --mount --pid --net --uts --ipc --cgroup env -i PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive "$@"; }

# expect WHAT WANT CMD… compares what a command prints on the machine.
expect() {
	local what=$1 want=$2 got
	shift 2
	got=$(on "$@" 2>&1) || true
	[ "$got" = "$want" ] || die "$what: want $want, got: $got"
	say "$what: $got"
}

until_on() {
	local tries=600
	until on "$@" >/dev/null 2>&1; do
		tries=$((tries - 1)); [ $tries -gt 0 ] || die "not within a minute: $*"
		sleep 0.1
	done
}

start_machine() {
	# Its systemd is not told of this terminal, nor of the caller's cgroup.
	unshare --mount --pid --fork --net --ipc --uts --cgroup --propagation private --kill-child \
		"$HACK/packages-test.sh" boot "$tmp" "$1" >"$tmp/boot.log" 2>&1 </dev/null &
	local tries=300
	until init=$(pgrep -P $! -f 'systemd --system'); do
		tries=$((tries - 1)); [ $tries -gt 0 ] || die "the machine's systemd does not start"
		sleep 0.1
	done
	until_on systemctl is-active --quiet basic.target
}

health() { on bash -c 'exec 3<>/dev/tcp/127.0.0.1/5000 && printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && head -1 <&3 | grep -q " 200 "'; }
healthy() {
	local tries=300
	until health 2>/dev/null; do
		tries=$((tries - 1)); [ $tries -gt 0 ] || { on journalctl -u image2ipfs --no-pager | tail -n 20 >&2; die "the service does not answer"; }
		sleep 0.1
	done
}
main_pid() { on systemctl show -P MainPID image2ipfs; }

# ---- what is installed ------------------------------------------------------------

deb_installed() {
	on dpkg -i "/packages/$1.deb" >"$tmp/dpkg.log" 2>&1 || die "dpkg -i $1.deb failed"
	healthy
	expect "version" "image2ipfs $1" image2ipfs --version
}

fresh() {
	deb_installed "$1"
	expect "enabled" enabled systemctl is-enabled image2ipfs
	expect "runs as" image2ipfs stat -c %U "/proc/$(main_pid)"
	expect "store" "750 image2ipfs image2ipfs" stat -c '%a %U %G' /var/lib/image2ipfs
	on test -s /usr/share/man/man1/image2ipfs-serve.1.gz || die "no manual page"
	on bash -c '. /usr/share/bash-completion/completions/image2ipfs && declare -F __start_image2ipfs >/dev/null' || die "bash does not take the completion"
	on systemd-analyze security --no-pager image2ipfs.service | tail -2
}

published() {
	name=$(on runuser -u image2ipfs -- env IMAGE2IPFS_PATH=/var/lib/image2ipfs image2ipfs publish -q /packages/image.tar)
	[ -n "$name" ] || die "nothing was published"
	say "published $name"
	pulled
}

# pulled reads the image back from the service, by a client that has no store.
pulled() {
	local path=${name#*/}
	on bash -c "exec 3<>/dev/tcp/127.0.0.1/5000 && printf 'GET /v2/$path/manifests/latest HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && head -1 <&3 | grep -q ' 200 '" ||
		die "the service does not serve $name"
	say "served $name"
}

upgraded() {
	local before
	on bash -c 'echo "# mine" >>/etc/image2ipfs/serve.env'
	before=$(main_pid)
	deb_installed "$1"
	[ "$(main_pid)" != "$before" ] || die "the service was not restarted by the upgrade"
	expect "config file is kept" 1 grep -c '^# mine' /etc/image2ipfs/serve.env
	pulled
}

# reinstalled VERSION: who removes the package and installs it again, without purging it,
# has the service as it was.
reinstalled() {
	on dpkg -r image2ipfs >"$tmp/dpkg.log" 2>&1 || die "dpkg -r failed"
	expect "after remove" inactive systemctl is-active image2ipfs
	deb_installed "$1"
	expect "installed again" enabled systemctl is-enabled image2ipfs
	pulled
	on systemctl --quiet disable --now image2ipfs
	on dpkg -r image2ipfs >"$tmp/dpkg.log" 2>&1 || die "dpkg -r failed"
	on dpkg -i "/packages/$1.deb" >"$tmp/dpkg.log" 2>&1 || die "dpkg -i $1.deb failed"
	expect "disabled and installed again" disabled systemctl is-enabled image2ipfs
	expect "disabled and installed again" inactive systemctl is-active image2ipfs
	on systemctl --quiet enable --now image2ipfs
	healthy
}

removed() {
	on dpkg -r image2ipfs >"$tmp/dpkg.log" 2>&1 || die "dpkg -r failed"
	expect "after remove" inactive systemctl is-active image2ipfs
	expect "config file after remove" /etc/image2ipfs/serve.env ls /etc/image2ipfs/serve.env
	on dpkg -P image2ipfs >"$tmp/dpkg.log" 2>&1 || die "dpkg -P failed"
	grep -q "store in /var/lib/image2ipfs is kept" "$tmp/dpkg.log" || die "purge does not say that the store is kept"
	expect "left after purge" "" bash -c 'find / -xdev -name "*image2ipfs*" -not -path "/proc/*" -not -path "/var/lib/image2ipfs*" -not -path "/var/log/*" -not -path "/var/cache/*" -not -path "/var/lib/systemd/*" -not -path "/packages/*" -not -path "/eng/*" -not -path "/tmp/*"'
	expect "store after purge" "750 image2ipfs image2ipfs" stat -c '%a %U %G' /var/lib/image2ipfs
}

# ---- what is packed -----------------------------------------------------------------

key() {
	export GNUPGHOME=$tmp/gnupg
	mkdir -m 700 "$GNUPGHOME"
	gpg --batch --quiet --passphrase '' --quick-generate-key 'image2ipfs test <test@example.com>' rsa3072 sign never 2>"$tmp/gpg.log"
	gpg --batch --armor --export-secret-keys >"$tmp/key.asc"
	gpg --batch --armor --export >"$tmp/public.asc"
}

# release VERSION makes a release of this machine's platform, signed.
release() {
	made+=("$1")
	make -s release VERSION="$1" PLATFORMS=linux/amd64 SIGNING_KEY="$tmp/key.asc" >"$tmp/release.log" 2>&1 || die "make release failed"
	(cd "dist/$1" && sha256sum --quiet -c SHA256SUMS && gpg --batch --verify SHA256SUMS.asc SHA256SUMS 2>"$tmp/verify.log") || die "sums or their signature are wrong"
	cp "dist/$1/image2ipfs-$1-linux-amd64.deb" "$tmp/packages/$1.deb"
	cp "dist/$1/image2ipfs-$1-linux-amd64.rpm" "$tmp/packages/$1.rpm"
}

rpm_packed() {
	command -v rpm >/dev/null || apt-get install -y -qq --no-remove --no-install-recommends rpm >"$tmp/apt.log" 2>&1 || die "rpm cannot be installed"
	local db=$tmp/rpm
	mkdir "$db"
	rpm --dbpath "$db" --import "$tmp/public.asc"
	rpm --dbpath "$db" --checksig "$tmp/packages/$1.rpm" | grep -q 'signatures OK' || die "the rpm's signature is not taken"
	say "rpm: $(rpm -qp --qf '%{NAME} %{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}' "$tmp/packages/$1.rpm" 2>/dev/null)"
	[ "$(rpm -qpc "$tmp/packages/$1.rpm" 2>/dev/null)" = /etc/image2ipfs/serve.env ] || die "the rpm's config files are not serve.env"
	diff <(rpm -qpl "$tmp/packages/$1.rpm" 2>/dev/null | sed 's#zsh/site-functions#zsh/vendor-completions#' | sort) \
		<(dpkg-deb --fsys-tarfile "$tmp/packages/$1.deb" | tar -t | sed 's#^\.##' | grep -v '/$' | sort) || die "rpm and deb do not have the same files"
}

[ "$(uname -m)" = x86_64 ] || die "the packages that are tried are those of amd64"
"$HACK/engines.sh" install
mkdir "$tmp/packages"
key
release 0.0.98
release 0.0.99
go run ./hack/mkimage -binary dist/0.0.99/image2ipfs-0.0.99-linux-amd64 -name demo:1 -o "$tmp/packages/image.tar"
start_machine "$WORK/chroot"
fresh 0.0.98
published
upgraded 0.0.99
reinstalled 0.0.99
removed
rpm_packed 0.0.99
say "all of it took $SECONDS s"
