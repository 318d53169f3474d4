#!/bin/bash
# Real container engines for the end-to-end tests, on one simulated machine.
#
#   hack/engines.sh up        install what is missing, start what does not run
#   hack/engines.sh install   what `up` does, but start nothing
#   hack/engines.sh down      stop everything that `up` started
#   hack/engines.sh clean     down, and remove the work directory
#   hack/engines.sh status    one line per engine; fails unless all of them run
#   hack/engines.sh tools     build only what needs no root: crane, regctl, oras and Kubo
#   hack/engines.sh extras    build what only `make test-all` uses, which takes long: cosign 2 and 3, IPFS Cluster, lassie, nerdctl, helm and Kubo 0.30
#   hack/engines.sh env       shell assignments: the command prefix of each engine
#   hack/engines.sh run CMD…  run a command on the simulated machine
#
# The simulated machine is a set of namespaces (network with nothing but lo,
# mounts, processes) that ends with its first process. Engines, registries,
# Kubo and tests meet there on 127.0.0.1 and reach nothing else; no mount, no
# address and no process outlives `down`. It shares the host's files, but not
# what would make it another machine on each host: /run with the sockets of
# engines that run there, the user's home with its configuration, and variables
# that tell engines and clients where to go.
#
# Everything lies in $IMAGE2IPFS_E2E, by default ${TMPDIR:-/tmp}/image2ipfs-e2e.
# `up` needs root and Debian; it knows no mirror but the one apt already uses.
set -euo pipefail

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
CHROOT=$WORK/chroot                    # a newer Debian with newer engines
SUITE=${E2E_SUITE:-forky}
ENGINES="dockerd20 dockerd28 containerd16 containerd2"
# What is needed, as COMMAND=PACKAGE.
NEEDED="dockerd=docker.io docker=docker.io containerd=containerd ctr=containerd runc=runc skopeo=skopeo umoci=umoci
  podman=podman docker-registry=docker-registry debootstrap=debootstrap ip=iproute2 iptables=iptables busybox=busybox-static tar=tar
  unshare=util-linux nsenter=util-linux
  pigz=pigz igzip=isal libdeflate-gunzip=libdeflate-tools zstd=zstd python3=python3"

source "$HACK/tools.sh"

say() { echo "engines: $*" >&2; }
die() { say "$*"; exit 1; }

# until_ok SECONDS CMD… polls until the command succeeds.
until_ok() {
  local tries=$(($1 * 10)); shift
  while ! "$@" >/dev/null 2>&1; do
    tries=$((tries - 1)); [ $tries -gt 0 ] || return 1
    sleep 0.1
  done
}

# ---- what has to be installed --------------------------------------------------

# lacking prints the packages of the commands that are not there. What there is
# stays as it is: a machine may have its engines from elsewhere.
lacking() {
  local pair
  for pair in $NEEDED; do command -v "${pair%=*}" >/dev/null || echo "${pair#*=}"; done | sort -u
  [ -d /etc/ssl/certs ] || echo ca-certificates
}

# packages installs the host's engines; policy-rc.d keeps services from starting.
packages() {
  local missing; missing=$(lacking)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "apt-get not found; the engines come from Debian's packages"
  say "installing" $missing
  local policy=/usr/sbin/policy-rc.d ours= rc=0
  # One of ours is there if an earlier run was killed.
  if ! [ -e $policy ] || grep -q image2ipfs $policy; then
    ours=1; printf '#!/bin/sh\n# image2ipfs: while its test engines are installed\nexit 101\n' >$policy; chmod +x $policy
  fi
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove \
    -o DPkg::Lock::Timeout=300 --no-install-recommends $missing; } >"$WORK/log/apt.log" 2>&1 || rc=$?
  [ -z "$ours" ] || rm -f $policy
  [ $rc = 0 ] || { tail -5 "$WORK/log/apt.log" >&2; die "apt-get failed (see $WORK/log/apt.log)"; }
}

# mirror prints the archive that apt on this machine takes its own suite from.
mirror() {
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk -v suite="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == suite { print $2; exit }'
}

# chroot_tree makes the newer root; one that an older version of this file made
# gets what it lacks.
chroot_tree() {
  if [ -x "$CHROOT/usr/sbin/dockerd" ]; then chroot_rest; return; fi
  say "making a $SUITE root for the newer engines"
  rm -rf --one-file-system "$CHROOT" "$CHROOT.part"
  # In a mount namespace of its own: what it mounts does not outlive it.
  unshare --mount --propagation private debootstrap --variant=minbase \
    --include="docker.io,docker-cli,docker-buildx,containerd,runc,podman,iptables,iproute2" \
    "$SUITE" "$CHROOT.part" "$(mirror)" /usr/share/debootstrap/scripts/sid >"$WORK/log/debootstrap.log" 2>&1 ||
    die "debootstrap failed (see $WORK/log/debootstrap.log)"
  rm -f "$CHROOT.part"/var/cache/apt/archives/*.deb
  mv "$CHROOT.part" "$CHROOT"
}

# chroot_rest installs what the newer root lacks. Like debootstrap it takes an
# archive's list for as long as that is signed, however old it is.
chroot_rest() {
  [ ! -x "$CHROOT/usr/bin/podman" ] || return 0
  say "adding podman to the $SUITE root"
  local apt="command env -u TMPDIR DEBIAN_FRONTEND=noninteractive chroot $CHROOT apt-get -qq -o Acquire::Check-Valid-Until=false"
  printf '#!/bin/sh\nexit 101\n' >"$CHROOT/usr/sbin/policy-rc.d" # no services
  chmod +x "$CHROOT/usr/sbin/policy-rc.d"
  { $apt update && $apt install -y --no-remove --no-install-recommends podman && $apt clean; } >"$WORK/log/podman5.log" 2>&1 ||
    die "apt-get failed in $CHROOT (see $WORK/log/podman5.log)"
}

# promtool brings Prometheus' checker of rules, and nothing else of Debian's package.
promtool() {
  [ ! -x "$WORK/bin/promtool" ] || return 0
  say "downloading promtool"
  local part=$WORK/promtool.part
  rm -rf "$part"
  mkdir -p "$part" "$WORK/bin"
  (cd "$part" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } &&
    dpkg -x prometheus_*.deb . && mv usr/bin/promtool "$WORK/bin/") >"$WORK/log/promtool.log" 2>&1 ||
    die "promtool is not to be had (see $WORK/log/promtool.log)"
  rm -rf "$part"
}

# ---- the simulated machine -------------------------------------------------------

# FOREIGN variables lead engines and clients elsewhere, or to other settings.
FOREIGN=(http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
  DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_DEFAULT_PLATFORM DOCKER_CONTENT_TRUST
  CONTAINER_HOST CONTAINERS_CONF CONTAINERS_STORAGE_CONF CONTAINERS_REGISTRIES_CONF REGISTRY_AUTH_FILE STORAGE_DRIVER
  CONTAINERD_ADDRESS CONTAINERD_NAMESPACE CONTAINERD_SNAPSHOTTER NERDCTL_TOML
  XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_CACHE_HOME IPFS_PATH IPFS_API IPFS_GATEWAY)

# birth PID prints when a process started: with its pid that names it for good.
birth() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# machine prints the pid of the simulated machine's init, if it is alive.
machine() {
  local pid born
  read -r pid born 2>/dev/null <"$WORK/run/machine" || return 1
  [ -n "$born" ] && [ "$(birth "$pid")" = "$born" ] && echo "$pid"
}

run() {
  local pid
  pid=$(machine) || die "the engines do not run; start them with: $0 up"
  unset "${FOREIGN[@]}"
  mkdir -p "$WORK/home"
  HOME=$WORK/home exec nsenter --target "$pid" --mount --net --pid --wd="$PWD" -- "$@"
}
inside() { (run "$@"); }

# machine_init is the machine's first process: it writes down its pid as the
# outside sees it, sets the namespaces up and then reaps orphans for ever.
machine_init() {
  local pid _
  read -r pid _ </proc/self/stat
  ip link set lo up
  # An engine that runs on the host would be used in place of ours.
  mount -t tmpfs -o mode=755 tmpfs /run
  [ ! -d /dev/shm ] || mount -t tmpfs -o mode=1777 tmpfs /dev/shm # podman's locks
  mount --bind "$CHROOT" "$CHROOT"
  mount -t tmpfs -o mode=755 tmpfs "$CHROOT/run"
  mount -t sysfs sysfs "$CHROOT/sys"
  mount --rbind /sys/fs/cgroup "$CHROOT/sys/fs/cgroup"
  mount --rbind /dev "$CHROOT/dev"
  local born; born=$(birth "$pid")
  mount -t proc proc /proc
  mount -t proc proc "$CHROOT/proc"
  echo "$pid $born" >"$WORK/run/machine.new"
  mv "$WORK/run/machine.new" "$WORK/run/machine"
  trap 'exit 0' TERM
  while :; do sleep 1000 & wait $!; done
}

start_machine() {
  machine >/dev/null && return
  rm -f "$WORK"/run/*
  setsid unshare --mount --net --pid --fork --propagation private \
    "$BASH" "$HACK/engines.sh" machine_init >"$WORK/log/machine.log" 2>&1 </dev/null 8>&- &
  until_ok 10 machine || { cat "$WORK/log/machine.log" >&2; die "the simulated machine did not start"; }
}

# ---- engines ---------------------------------------------------------------------

# command_of ENGINE prints the prefix with which a client speaks to it.
command_of() {
  case $1 in
    dockerd20) echo "docker -H unix://$WORK/dockerd20/sock" ;;
    dockerd28*) echo "env -u TMPDIR chroot $CHROOT docker -H unix:///eng/$1/sock" ;;
    containerd16) echo "ctr --address $WORK/containerd16/sock" ;;
    containerd2) echo "env -u TMPDIR chroot $CHROOT ctr --address /eng/containerd2/sock" ;;
    podman) echo "env CONTAINERS_CONF=$WORK/podman/containers.conf CONTAINERS_STORAGE_CONF=$WORK/podman/storage.conf" \
      "podman --root $WORK/podman/graph --runroot /run/podman/run --tmpdir /run/podman/tmp" ;;
    podman5) echo "env -u TMPDIR CONTAINERS_CONF=/eng/podman5/containers.conf CONTAINERS_STORAGE_CONF=/eng/podman5/storage.conf" \
      "chroot $CHROOT podman" ;;
    skopeo) echo "skopeo --insecure-policy" ;;
    crane | regctl | oras | cosign | cosign3 | conformance | nerdctl | helm) echo "$WORK/bin/$1" ;;
    kubo) echo "$WORK/bin/ipfs" ;;
    cluster) echo "$WORK/bin/ipfs-cluster-service" ;;
  esac
}

# home ENGINE prints its state directory: as it sees it, or `outer` as we do.
home() {
  case $1 in
    dockerd28* | containerd2 | podman5) echo "${2:+$CHROOT}/eng/$1" ;;
    *) echo "$WORK/$1" ;;
  esac
}

# daemon_of ENGINE prints the daemon's own command line. What it keeps for one
# boot (pid files, tasks) is on the machine's /run and so ends with the machine:
# the pids of a machine that was killed mean other processes on the next one.
daemon_of() {
  local state root=
  state=$(home "$1")
  case $state in /eng/*) root="env -u TMPDIR chroot $CHROOT" ;; esac
  local dockerd="dockerd --config-file $state/daemon.json --data-root $state/data --exec-root /run/$1 --pidfile /run/$1.pid -H unix://$state/sock
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false
    --registry-mirror=http://127.0.0.1:5000"
  case $1 in
    dockerd20) echo $dockerd ;;
    dockerd28) echo $root $dockerd --feature containerd-snapshotter=true ;;
    dockerd28classic) echo $root $dockerd --feature containerd-snapshotter=false ;;
    containerd*) echo $root containerd --config "$state/config.toml" ;;
  esac
}

# storage_driver DIR prints podman's driver for a file system: overlay where that
# can be mounted.
storage_driver() {
  local try=$1/try driver=vfs
  mkdir -p "$try"/{lower,upper,work,merged}
  unshare --mount --propagation private mount -t overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" \
    overlay "$try/merged" 2>/dev/null && driver=overlay
  rm -rf "$try"
  echo $driver
}

# configure ENGINE makes its state directory.
configure() {
  local outer state
  outer=$(home "$1" outer) state=$(home "$1")
  mkdir -p "$outer"
  rm -f "$outer/sock"
  case $1 in
    dockerd*) echo '{}' >"$outer/daemon.json" ;; # not the host's
    podman | podman5)                            # runc, though crun may be installed
      printf '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\ntmp_dir = "/run/%s/tmp"\n' "$1" \
        >"$outer/containers.conf"
      printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' \
        "$(storage_driver "$outer")" "$state/graph" "/run/$1/run" >"$outer/storage.conf" ;;
    containerd*) cat >"$outer/config.toml" <<TOML ;;
version = 2
root = "$state/root"
state = "/run/$1"
[grpc]
  address = "$state/sock"
[ttrpc]
  address = "$state/sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/opt"
TOML
  esac
}

# answers ENGINE asks for its version; a ctr without a socket would wait 10 s.
answers() { [ -S "$(home "$1" outer)/sock" ] && inside $(command_of "$1") version; }

# start ENGINE starts its daemon unless that answers; `ready` waits for it.
start() {
  answers "$1" >/dev/null 2>&1 && return
  halt "$1"
  configure "$1"
  setsid "$BASH" "$HACK/engines.sh" run "$BASH" -c 'echo $$ >"$0"; exec "$@"' \
    "$WORK/run/$1.pid" $(daemon_of "$1") >"$WORK/log/$1.log" 2>&1 </dev/null 8>&- &
}

ready() {
  until_ok 40 answers "$1" && return
  tail -5 "$WORK/log/$1.log" >&2; say "$1 did not start (see $WORK/log/$1.log)"; return 1
}

# halt ENGINE ends its daemon, by the pid that it has on the machine.
halt() {
  local pid
  pid=$(cat "$WORK/run/$1.pid" 2>/dev/null) || return 0
  if inside kill "$pid" 2>/dev/null && ! until_ok 20 gone "$pid"; then
    say "$1 did not end within 20 s of SIGTERM; killing it"
    inside kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$WORK/run/$1.pid"
}
gone() { ! inside kill -0 "$1"; }

# ---- commands ----------------------------------------------------------------------

install() {
  [ "$(id -u)" = 0 ] || die "needs root (the engines do)"
  case $WORK in
    *[[:space:]]*) die "$WORK: the work directory's path must not hold spaces" ;;
    /run/* | /var/run/* | /dev/*) die "$WORK: the work directory must not be below /run or /dev, which the machine has of its own" ;;
  esac
  mkdir -p "$WORK"/{run,log}
  alone
  packages
  promtool
  chroot_tree
  tools
}

up() {
  install
  start_machine
  configure podman
  configure podman5
  local e rc=0
  for e in $ENGINES; do start "$e"; done
  for e in $ENGINES; do ready "$e" || rc=1; done
  return $rc
}

# alone waits until no other up or down works on the same directory.
alone() { exec 8>"$WORK/engines.lock"; flock 8; }

down() {
  local pid f
  [ -d "$WORK/run" ] || return 0
  alone
  pid=$(machine) || return 0
  for f in "$WORK"/run/*.pid; do [ -e "$f" ] && halt "$(basename "$f" .pid)"; done
  kill "$pid"                          # the kernel ends whatever is left inside
  until_ok 20 ended || die "the simulated machine (pid $pid) did not end"
  rm -f "$WORK"/run/*
}
ended() { ! machine; }

clean() {
  down
  rm -rf --one-file-system "$WORK"
}

status() {
  local e rc=0
  for e in $ENGINES; do
    if machine >/dev/null && answers "$e" >/dev/null 2>&1; then echo "$e up"; else echo "$e down"; rc=1; fi
  done
  return $rc
}

# env prints E2E_<ENGINE>='command prefix' for all that can be used just now.
env() {
  echo "IMAGE2IPFS_E2E='$WORK'"
  local e
  for e in $ENGINES podman podman5 skopeo crane regctl kubo oras cosign cosign3 cluster conformance nerdctl helm; do
    case $e in
      crane | regctl | kubo | oras | cosign | cosign3 | cluster | conformance | nerdctl | helm) [ -x "$(command_of $e)" ] || continue ;;
      skopeo) command -v skopeo >/dev/null || continue ;;
      podman) command -v podman >/dev/null && machine >/dev/null || continue ;;
      podman5) [ -x "$CHROOT/usr/bin/podman" ] && machine >/dev/null || continue ;;
      *) machine >/dev/null && answers "$e" >/dev/null 2>&1 || continue ;;
    esac
    echo "E2E_${e^^}='$(command_of "$e")'"
  done
}

case ${1:-} in
  install | up | down | clean | status | tools | extras | env) "$1" ;;
  run | mirror | machine_init | start | ready | halt | command_of) "$@" ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
