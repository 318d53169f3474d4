#!/bin/bash
# Real container engines for the end-to-end tests, on one simulated machine.
#
#   hack/engines.sh up        install what is missing, start what does not run
#   hack/engines.sh down      stop everything that `up` started
#   hack/engines.sh clean     down, and remove the work directory
#   hack/engines.sh status    one line per engine; fails unless all of them run
#   hack/engines.sh tools     build only what needs no root: crane, regctl and Kubo
#   hack/engines.sh env       shell assignments: the command prefix of each engine
#   hack/engines.sh run CMD…  run a command on the simulated machine
#
# The simulated machine is a set of namespaces (network with nothing but lo,
# mounts, processes) that ends with its first process. Engines, registries,
# Kubo and tests meet there on 127.0.0.1 and reach nothing else; no mount, no
# address and no process outlives `down`.
#
# Everything lies in $IMAGE2IPFS_E2E, by default ${TMPDIR:-/tmp}/image2ipfs-e2e.
# `up` needs root and Debian; it knows no mirror but the one apt already uses.
set -euo pipefail

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
CHROOT=$WORK/chroot                    # a newer Debian with newer engines
SUITE=${E2E_SUITE:-forky}
CRANE=github.com/google/go-containerregistry/cmd/crane@v0.22.1
REGCTL=github.com/regclient/regclient/cmd/regctl@v0.11.7
ENGINES="dockerd20 dockerd28 containerd16 containerd2"
COMMANDS="dockerd docker containerd ctr runc skopeo umoci podman debootstrap ip iptables tar unshare nsenter"
PACKAGES="docker.io containerd runc skopeo umoci podman debootstrap iproute2 iptables busybox-static ca-certificates"

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

# ---- what needs no root ------------------------------------------------------

tools() {
  mkdir -p "$WORK/bin"
  [ -x "$WORK/bin/crane" ] || GOBIN=$WORK/bin go install "$CRANE"
  [ -x "$WORK/bin/regctl" ] || GOBIN=$WORK/bin go install "$REGCTL"
  if ! [ "$WORK/bin/ipfs" -nt "$HACK/tools/kubo/go.mod" ]; then
    say "building Kubo (minutes, once)"
    (cd "$HACK/tools/kubo" && go build -trimpath -o "$WORK/bin/ipfs" github.com/ipfs/kubo/cmd/ipfs)
    touch "$WORK/bin/ipfs"
  fi
}

# ---- what has to be installed --------------------------------------------------

have_packages() {
  local c
  for c in $COMMANDS; do command -v "$c" >/dev/null || return 1; done
  [ -x /bin/busybox ]
}

# packages installs the host's engines; policy-rc.d keeps services from starting.
packages() {
  have_packages && return
  command -v apt-get >/dev/null || die "apt-get not found; the engines come from Debian's packages"
  say "installing packages"
  local policy=/usr/sbin/policy-rc.d ours= rc=0
  [ -e $policy ] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends $PACKAGES; } >"$WORK/log/apt.log" 2>&1 || rc=$?
  [ -z "$ours" ] || rm -f $policy
  [ $rc = 0 ] || { tail -5 "$WORK/log/apt.log" >&2; die "apt-get failed (see $WORK/log/apt.log)"; }
}

# mirror prints the archive that apt on this machine takes its own suite from.
mirror() {
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk -v suite="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == suite { print $2; exit }'
}

chroot_tree() {
  [ -x "$CHROOT/usr/sbin/dockerd" ] && return
  say "making a $SUITE root for the newer engines"
  rm -rf --one-file-system "$CHROOT" "$CHROOT.part"
  debootstrap --variant=minbase \
    --include=docker.io,docker-cli,docker-buildx,containerd,runc,iptables,iproute2 \
    "$SUITE" "$CHROOT.part" "$(mirror)" /usr/share/debootstrap/scripts/sid >"$WORK/log/debootstrap.log" 2>&1 ||
    die "debootstrap failed (see $WORK/log/debootstrap.log)"
  rm -f "$CHROOT.part"/var/cache/apt/archives/*.deb
  mv "$CHROOT.part" "$CHROOT"
}

# ---- the simulated machine -------------------------------------------------------

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
  exec nsenter --target "$pid" --mount --net --pid --wd="$PWD" -- "$@"
}
inside() { (run "$@"); }

# machine_init is the machine's first process: it writes down its pid as the
# outside sees it, sets the namespaces up and then reaps orphans for ever.
machine_init() {
  local pid _
  read -r pid _ </proc/self/stat
  ip link set lo up
  mount --bind "$CHROOT" "$CHROOT"
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
    "$BASH" "$HACK/engines.sh" machine_init >"$WORK/log/machine.log" 2>&1 </dev/null &
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
    podman) echo "podman --root $WORK/podman/root --runroot $WORK/podman/run --tmpdir $WORK/podman/tmp" \
      "--cgroup-manager cgroupfs --events-backend file" ;;
    skopeo) echo "skopeo --insecure-policy" ;;
    crane | regctl) echo "$WORK/bin/$1" ;;
    kubo) echo "$WORK/bin/ipfs" ;;
  esac
}

# home ENGINE prints its state directory: as it sees it, or `outer` as we do.
home() {
  case $1 in
    dockerd28* | containerd2) echo "${2:+$CHROOT}/eng/$1" ;;
    *) echo "$WORK/$1" ;;
  esac
}

# daemon_of ENGINE prints the daemon's own command line.
daemon_of() {
  local state root=
  state=$(home "$1")
  case $state in /eng/*) root="env -u TMPDIR chroot $CHROOT" ;; esac
  local dockerd="dockerd --data-root $state/data --exec-root $state/exec --pidfile $state/pid -H unix://$state/sock
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false
    --registry-mirror=http://127.0.0.1:5000"
  case $1 in
    dockerd20) echo $dockerd ;;
    dockerd28) echo $root $dockerd --feature containerd-snapshotter=true ;;
    dockerd28classic) echo $root $dockerd --feature containerd-snapshotter=false ;;
    containerd*) echo $root containerd --config "$state/config.toml" ;;
  esac
}

# configure ENGINE makes its state directory.
configure() {
  local outer state
  outer=$(home "$1" outer) state=$(home "$1")
  mkdir -p "$outer"
  rm -f "$outer/pid" "$outer/sock"
  case $1 in containerd*) cat >"$outer/config.toml" <<TOML ;; esac
version = 2
root = "$state/root"
state = "$state/state"
[grpc]
  address = "$state/sock"
[ttrpc]
  address = "$state/sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/opt"
TOML
}

# answers ENGINE asks for its version; a ctr without a socket would wait 10 s.
answers() { [ -S "$(home "$1" outer)/sock" ] && inside $(command_of "$1") version; }

# start ENGINE starts its daemon unless that answers; `ready` waits for it.
start() {
  answers "$1" >/dev/null 2>&1 && return
  halt "$1"
  configure "$1"
  setsid "$BASH" "$HACK/engines.sh" run "$BASH" -c 'echo $$ >"$0"; exec "$@"' \
    "$WORK/run/$1.pid" $(daemon_of "$1") >"$WORK/log/$1.log" 2>&1 </dev/null &
}

ready() {
  until_ok 40 answers "$1" && return
  tail -5 "$WORK/log/$1.log" >&2; say "$1 did not start (see $WORK/log/$1.log)"; return 1
}

# halt ENGINE ends its daemon, by the pid that it has on the machine.
halt() {
  local pid
  pid=$(cat "$WORK/run/$1.pid" 2>/dev/null) || return 0
  inside kill "$pid" 2>/dev/null && until_ok 20 gone "$pid" || true
  rm -f "$WORK/run/$1.pid"
}
gone() { ! inside kill -0 "$1"; }

# ---- commands ----------------------------------------------------------------------

up() {
  [ "$(id -u)" = 0 ] || die "needs root (the engines do)"
  case $WORK in *[[:space:]]*) die "$WORK: the work directory's path must not hold spaces" ;; esac
  mkdir -p "$WORK"/{run,log}
  packages
  chroot_tree
  tools
  start_machine
  local e rc=0
  for e in $ENGINES; do start "$e"; done
  for e in $ENGINES; do ready "$e" || rc=1; done
  return $rc
}

down() {
  local pid f
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
  for e in $ENGINES podman skopeo crane regctl kubo; do
    case $e in
      crane | regctl | kubo) [ -x "$(command_of $e)" ] || continue ;;
      skopeo) command -v skopeo >/dev/null || continue ;;
      podman) command -v podman >/dev/null && machine >/dev/null || continue ;;
      *) machine >/dev/null && answers "$e" >/dev/null 2>&1 || continue ;;
    esac
    echo "E2E_${e^^}='$(command_of "$e")'"
  done
}

case ${1:-} in
  up | down | clean | status | tools | env) "$1" ;;
  run | mirror | machine_init | start | ready | halt | command_of) "$@" ;;
  *) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
