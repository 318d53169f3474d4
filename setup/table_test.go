package setup

// Configurations as distributions, projects and users have them, for each engine:
// what setup makes of them, that the engine reads it so where it is installed
// here, and that the undo gives back every byte, link and directory.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const ours = "http://127.0.0.1:5000"

// configuration is a machine with files; a content that begins with "-> " is a
// symbolic link, and "/" a directory.
type configuration struct {
	name    string // engine: whose configuration it is
	files   map[string]string
	options Options
	want    map[string]string // parts of files after setup
	refused string            // part of the error, when it is
	note    string
	asked   func(m machine, t *testing.T) // has the engine itself read the result
}

const (
	criTable   = "[plugins.\"io.containerd.grpc.v1.cri\".registry]"
	imageTable = "[plugins.'io.containerd.cri.v1.images'.registry]"
	hostsHub   = "etc/containerd/certs.d/docker.io/hosts.toml"
	configTOML = "etc/containerd/config.toml"
	unitDocker = "usr/lib/systemd/system/docker.service"
	unitCtrd   = "usr/lib/systemd/system/containerd.service"
)

var table = []configuration{
	{name: "docker: none", want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: Debian, unit without flags", files: map[string]string{unitDocker: "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n", "etc/default/docker": "#DOCKER_OPTS=\"--dns 8.8.8.8\"\n"}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: GKE, empty file", files: map[string]string{"etc/docker/daemon.json": "\n"}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: zero bytes", files: map[string]string{"etc/docker/daemon.json": ""}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: null", files: map[string]string{"etc/docker/daemon.json": "null\n"}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: NVIDIA toolkit", files: map[string]string{"etc/docker/daemon.json": "{\n    \"runtimes\": {\n        \"nvidia\": {\n            \"args\": [],\n            \"path\": \"nvidia-container-runtime\"\n        }\n    }\n}"}, want: map[string]string{"etc/docker/daemon.json": "nvidia-container-runtime"}},
	{name: "docker: mirror in daemon.json", files: map[string]string{"etc/docker/daemon.json": "{\"registry-mirrors\": [\"https://mirror.gcr.io\"]}\n"}, want: map[string]string{"etc/docker/daemon.json": `["` + ours + `", "https://mirror.gcr.io"]`}},
	{name: "docker: mirror flag in the unit", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd -H fd:// \\\n  --registry-mirror=https://m.example\n"}, refused: unitDocker + ", line 2 has --registry-mirror https://m.example"},
	{name: "docker: mirror flag in a drop-in", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n", "etc/systemd/system/docker.service.d/mirror.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --registry-mirror https://m.example\n"}, refused: "mirror.conf, line 3 has --registry-mirror"},
	{name: "docker: a masked unit", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --registry-mirror=https://m.example\n", "etc/systemd/system/docker.service": "-> /dev/null", "dev": "/"}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: a masked drop-in", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd\n", "usr/lib/systemd/system/docker.service.d/mirror.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --registry-mirror=https://m.example\n", "etc/systemd/system/docker.service.d/mirror.conf": "-> /dev/null", "dev": "/"}, want: map[string]string{"etc/docker/daemon.json": ours}},
	{name: "docker: mirror flag by CentOS sysconfig", files: map[string]string{unitDocker: "[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nExecStart=/usr/bin/dockerd $OPTIONS\n", "etc/sysconfig/docker": "OPTIONS='--selinux-enabled --registry-mirror=https://m.example'\n"}, refused: "--registry-mirror https://m.example"},
	{name: "docker: mirror flag by OpenRC", files: map[string]string{"etc/conf.d/docker": "DOCKER_OPTS=\"--registry-mirror=https://m.example\"\n"}, refused: "/etc/conf.d/docker has --registry-mirror"},
	{name: "docker: our flag by hand", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --registry-mirror " + ours + " --registry-mirror https://m.example\n"}, note: "nothing may be said of mirrors"},
	{name: "docker: mirror flag by a pattern of files", files: map[string]string{unitDocker: "[Service]\nEnvironmentFile=-/etc/sysconfig/docker*\nEnvironment=OPTIONS=--debug\nExecStart=/usr/bin/dockerd $OPTIONS\n", "etc/sysconfig/docker-network": "OPTIONS=\"--selinux-enabled \\\n  --registry-mirror=https://m.example\"\n"}, refused: "--registry-mirror https://m.example"},
	{name: "docker: mirror flag by a file named after the unit", files: map[string]string{unitDocker: "[Service]\nEnvironmentFile=-/etc/default/%N\nExecStart=/usr/bin/dockerd $OPTIONS\n", "etc/default/docker": "export OPTIONS=--registry-mirror=https://m.example\n"}, refused: "--registry-mirror https://m.example"},
	{name: "docker: mirror flag in a shell", files: map[string]string{unitDocker: "[Service]\nExecStart=/bin/sh -ec 'exec /usr/bin/dockerd --registry-mirror=https://m.example'\n"}, refused: "--registry-mirror https://m.example"},
	{name: "docker: mirror flag in a drop-in for all services", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd $MIRROR\n", "etc/systemd/system/service.d/mirror.conf": "[Service]\nEnvironment=MIRROR=--registry-mirror=https://m.example\n"}, refused: "--registry-mirror https://m.example"},
	{name: "docker: restart after a flag", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --registry-mirror=https://m.example\n"}, refused: "sudo systemctl daemon-reload && sudo systemctl restart docker"},
	{name: "docker: mirrors that are no list", files: map[string]string{"etc/docker/daemon.json": "{\n  \"debug\": true,\n  \"registry-mirrors\": \"https://m.example\"\n}\n"}, refused: "daemon.json: line 3: \"registry-mirrors\": expected a list"},
	{name: "docker: a comment", files: map[string]string{"etc/docker/daemon.json": "{\n  // mine\n  \"debug\": true\n}\n"}, refused: "line 2: comments"},
	{name: "docker: config-file flag", files: map[string]string{unitDocker: "[Service]\nExecStart=/usr/bin/dockerd --config-file=/data/docker.json\n", "data/docker.json": "{}"}, want: map[string]string{"data/docker.json": ours}},
	{name: "docker: snap", files: map[string]string{"var/snap/docker/current/config/daemon.json": "{\n    \"log-level\":        \"error\"\n}\n"}, want: map[string]string{"var/snap/docker/current/config/daemon.json": ours}},
	{name: "docker: NixOS, link to a store", files: map[string]string{"etc/docker/daemon.json": "-> /nix/store/x-daemon.json", "nix/store/x-daemon.json": "{}"}, want: map[string]string{"nix/store/x-daemon.json": ours}},
	{name: "docker: rootless", files: map[string]string{"home/u/.config/docker/daemon.json": "{}"}, options: Options{Rootless: true, Home: "/home/u"}, want: map[string]string{"home/u/.config/docker/daemon.json": ours}},
	{name: "docker: link to a volume that is not mounted", files: map[string]string{"etc/docker/daemon.json": "-> /mnt/data/daemon.json"}, refused: "mount or make what it leads to"},

	{name: "containerd: none", want: map[string]string{configTOML: "version = 2", hostsHub: ours, "etc/containerd/certs.d/_default/hosts.toml": ours}, asked: dump},
	{name: "containerd: Debian 12", files: map[string]string{configTOML: "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n      conf_dir = \"/etc/cni/net.d\"\n  [plugins.\"io.containerd.internal.v1.opt\"]\n    path = \"/var/lib/containerd\"\n"}, want: map[string]string{configTOML: "config_path"}, asked: dump},
	{name: "containerd: Docker's containerd.io", files: map[string]string{configTOML: "#   Copyright\n\ndisabled_plugins = [\"cri\"]\n\n#root = \"/var/lib/containerd\"\n"}, want: map[string]string{hostsHub: ours}, note: "CRI is switched off"},
	{name: "containerd: config default of 1.7", files: map[string]string{configTOML: "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".registry]\n      config_path = \"\"\n\n      [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors]\n"}, want: map[string]string{configTOML: "# was: config_path"}, asked: dump},
	{name: "containerd: config default of 2.x", files: map[string]string{configTOML: "version = 3\n[plugins]\n  [plugins.'io.containerd.cri.v1.images']\n    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n"}, want: map[string]string{hostsHub: ours}},
	{name: "containerd: no version line", files: map[string]string{configTOML: "root = \"/data/containerd\"\n[plugins.cri]\n  sandbox_image = \"pause:3\"\n"}, want: map[string]string{configTOML: "io.containerd.cri.v1.images"}, asked: dump},
	{name: "containerd: no version line, config_path for containerd 1 alone", files: map[string]string{configTOML: "[plugins.cri.registry]\nconfig_path = \"/etc/containerd/certs.d\"\n"}, want: map[string]string{configTOML: "io.containerd.cri.v1.images"}, asked: dump},
	{name: "containerd: kubespray", files: map[string]string{configTOML: "version = 3\n" + imageTable + "\n  config_path = \"/etc/containerd/certs.d\"\n", hostsHub: "server = \"https://docker.io\"\n[host.\"https://registry-1.docker.io\"]\n  capabilities = [\"pull\",\"resolve\"]\n"}, want: map[string]string{hostsHub: ours}},
	{name: "containerd: mirrors in an import", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "etc/containerd/conf.d/mirrors.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://127.0.0.1:5055\"]\n"}, refused: "mirrors.toml, line 2: registry.mirrors.docker.io"},
	{name: "containerd: tls in config.toml", files: map[string]string{configTOML: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r.example\".tls]\n  ca_file = \"x\"\n"}, refused: "line 2: registry.configs.r.example.tls"},
	{name: "containerd: mirror of all", files: map[string]string{configTOML: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\n  endpoint = [\"http://m\"]\n"}, refused: "/etc/containerd/certs.d/_default/hosts.toml"},
	{name: "containerd: NVIDIA drop-in replaces CRI", files: map[string]string{configTOML: "version = 2\nimports = [\"conf.d/*.toml\"]\n" + criTable + "\n  config_path = \"/etc/containerd/certs.d\"\n", "etc/containerd/conf.d/99-nvidia.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.nvidia]\n  runtime_type = \"io.containerd.runc.v2\"\n"}, want: map[string]string{"etc/containerd/conf.d/99-nvidia.toml": "config_path = \"/etc/containerd/certs.d\""}, asked: dump},
	{name: "containerd: config_path in an import", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "etc/containerd/conf.d/certs.toml": "version = 2\n" + criTable + "\nconfig_path = \"/etc/certs\"\n"}, want: map[string]string{"etc/certs/docker.io/hosts.toml": ours}, asked: dump},
	{name: "containerd: table of 2.x in a file of version 2", files: map[string]string{configTOML: "version = 2\n" + imageTable + "\n  config_path = \"/etc/certs\"\n"}, want: map[string]string{"etc/certs/docker.io/hosts.toml": ours}},
	{name: "containerd: mirrors in an import without a version line", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "etc/containerd/conf.d/mirrors.toml": "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://127.0.0.1:5055\"]\n"}, refused: "mirrors.toml, line 1: registry.mirrors.docker.io"},
	{name: "containerd: CRI's table in an import without a version line", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "etc/containerd/conf.d/cri.toml": "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  default_runtime_name = \"runc\"\n"}, want: map[string]string{"etc/containerd/conf.d/cri.toml": criTable}, asked: dump},
	{name: "containerd: the version in an import", files: map[string]string{configTOML: "imports = [\"/etc/containerd/conf.d/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  default_runtime_name = \"runc\"\n", "etc/containerd/conf.d/a.toml": "version = 2\n"}, want: map[string]string{configTOML: criTable}, asked: dump},
	{name: "containerd: an import that is the file itself", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n" + criTable + "\n  config_path = \"\"\n", "etc/containerd/conf.d/a.toml": "-> ../config.toml"}, want: map[string]string{configTOML: "config_path = \"/etc"}},
	{name: "containerd: hosts inline", files: map[string]string{hostsHub: "# mine\nserver = \"https://docker.io\"\nhost = {\"https://m.example\" = {}}\n"}, refused: "hosts.toml: line 3: it is written in a form"},
	{name: "containerd: registry inline", files: map[string]string{configTOML: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry = {config_path = \"\"}\n"}, refused: "config.toml: line 3: it is written in a form"},
	{name: "containerd: import that is not there", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/x.toml\"]\n"}, refused: "x.toml, which"},
	{name: "containerd: config flag of the unit", files: map[string]string{unitCtrd: "[Service]\nExecStart=/usr/bin/containerd --config /data/containerd.toml\n", "data/containerd.toml": "version = 2\n"}, want: map[string]string{"data/containerd.toml": "config_path"}},
	{name: "containerd: linked certs.d", files: map[string]string{"etc/containerd/certs.d": "-> ../../real", "real/quay.io/hosts.toml": "server = \"https://quay.example\"\n", "real/docker.io/hosts.toml": "server = \"https://hub.example\"\n"}, want: map[string]string{"real/docker.io/hosts.toml": ours}, note: "quay.io"},
	{name: "containerd: linked docker.io, absolute", files: map[string]string{"etc/containerd/certs.d/docker.io": "-> /srv/hub", "srv/hub/hosts.toml": "server = \"https://hub.example\"\n"}, want: map[string]string{"srv/hub/hosts.toml": ours}},
	{name: "containerd: linked docker.io that is empty", files: map[string]string{"etc/containerd/certs.d/docker.io": "-> /srv/hub", "srv/hub": "/"}, want: map[string]string{"srv/hub/hosts.toml": ours}},
	{name: "containerd: empty directories", files: map[string]string{"etc/containerd/certs.d/docker.io": "/", "etc/containerd/certs.d/_default": "/"}, want: map[string]string{hostsHub: ours}},
	{name: "containerd: empty hosts.toml", files: map[string]string{hostsHub: ""}, want: map[string]string{hostsHub: ours}},
	{name: "containerd: an IPv6 server", options: Options{Server: "http://[::1]:5000"}, refused: "a name in /etc/hosts"},
	{name: "containerd: k3s alone", files: map[string]string{"var/lib/rancher/k3s/agent": "/"}, refused: "image2ipfs setup k3s"},

	{name: "nerdctl: none", want: map[string]string{hostsHub: ours}},
	{name: "nerdctl: hosts_dir", files: map[string]string{"etc/nerdctl/nerdctl.toml": "hosts_dir = [\"/etc/certs\"]\n", "etc/certs": "/"}, want: map[string]string{"etc/certs/docker.io/hosts.toml": ours}},
	{name: "nerdctl: rootless", options: Options{Rootless: true, Home: "/home/u"}, files: map[string]string{"home/u/.config": "/"}, want: map[string]string{"home/u/.config/containerd/certs.d/docker.io/hosts.toml": ours}},
	{name: "nerdctl: an IPv6 server", options: Options{Server: "http://[::1]:5000"}, refused: "a name in /etc/hosts"},

	{name: "podman: Debian", files: map[string]string{"etc/containers/registries.conf": "# For more information\n", "etc/containers/registries.conf.d/shortnames.conf": "[aliases]\n  \"alpine\" = \"docker.io/library/alpine\"\n"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: Fedora", files: map[string]string{"etc/containers/registries.conf": "unqualified-search-registries = [\"registry.fedoraproject.org\", \"docker.io\"]\nshort-name-mode=\"enforcing\"\n"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, note: "unqualified-search-registries", asked: podmanInfo},
	{name: "podman: version 1", files: map[string]string{"etc/containers/registries.conf": "[registries.search]\nregistries = ['docker.io']\n"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: version 1, blocked", files: map[string]string{"etc/containers/registries.conf": "[registries.search]\nregistries = ['quay.io']\n\n[registries.block]\nregistries = ['evil.example', 'docker.io/']\n"}, refused: "registries.conf, line 5: docker.io is blocked"},
	{name: "podman: version 1, without TLS", files: map[string]string{"etc/containers/registries.conf": "[registries.insecure]\nregistries = ['docker.io']\n"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "insecure = true # as"}, asked: podmanInfo},
	{name: "podman: slashes at the end", files: map[string]string{"etc/containers/registries.conf": "[[registry]]\nprefix = \"docker.io/\"\nlocation = \"docker.io/\"\n[[registry.mirror]]\nlocation = \"m.example\"\n"}, want: map[string]string{"etc/containers/registries.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: a directory among drop-ins", files: map[string]string{"etc/containers/registries.conf.d/old.conf": "/"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: a drop-in that is the main file", files: map[string]string{"etc/containers/registries.conf": "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n", "etc/containers/registries.conf.d/a.conf": "-> ../registries.conf"}, want: map[string]string{"etc/containers/registries.conf": "127.0.0.1:5000"}},
	{name: "podman: the user's drop-ins are the system's", files: map[string]string{"etc/containers/registries.conf.d/a.conf": "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n", "root/.config/containers/registries.conf.d": "-> /etc/containers/registries.conf.d"}, want: map[string]string{"etc/containers/registries.conf.d/a.conf": "127.0.0.1:5000"}},
	{name: "podman: not TOML", files: map[string]string{"etc/containers/registries.conf": "# mine\n[[registry]\n"}, refused: "registries.conf: not TOML: line 2, column"},
	{name: "podman: a mirror of docker.io", files: map[string]string{"etc/containers/registries.conf": "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"mirror.gcr.io\"\n"}, want: map[string]string{"etc/containers/registries.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: root's own file", files: map[string]string{"root/.config/containers/registries.conf": "unqualified-search-registries = [\"docker.io\"]\n", "etc/containers/registries.conf.d/corp.conf": "[[registry]]\nlocation = \"docker.io\"\n"}, want: map[string]string{"root/.config/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: a wildcard", files: map[string]string{"etc/containers/registries.conf": "[[registry]]\nprefix = \"*.io\"\n[[registry.mirror]]\nlocation = \"m.example\"\n"}, want: map[string]string{"etc/containers/registries.conf": "127.0.0.1:5000"}, asked: podmanInfo},
	{name: "podman: a more specific rule", files: map[string]string{"etc/containers/registries.conf.d/lib.conf": "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"m.example/library\"\n"}, want: map[string]string{"etc/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, note: "a rule for docker.io/library", asked: podmanInfo},
	{name: "podman: a later drop-in", files: map[string]string{"etc/containers/registries.conf.d/zz.conf": "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n"}, want: map[string]string{"etc/containers/registries.conf.d/zz.conf": "127.0.0.1:5000"}, note: "blocks docker.io", asked: podmanInfo},
	{name: "podman: rootless", options: Options{Rootless: true, Home: "/home/u"}, files: map[string]string{"home/u/.config": "/", "etc/containers/registries.conf": "unqualified-search-registries = [\"quay.io\"]\n"}, want: map[string]string{"home/u/.config/containers/registries.conf.d/image2ipfs.conf": "127.0.0.1:5000"}, note: "unqualified-search-registries"},
	{name: "podman: an IPv6 server", options: Options{Server: "https://[fd00::1]:5000"}, refused: "a name in /etc/hosts"},

	{name: "k3s: none", files: map[string]string{"etc/rancher/k3s": "/"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "- \"" + ours}},
	{name: "k3s: a mirror", files: map[string]string{"etc/rancher/k3s/registries.yaml": "mirrors:\n  docker.io:\n    endpoint:\n      - \"https://m.example\"\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": ours}},
	{name: "k3s: embedded mirror of all", files: map[string]string{"etc/rancher/k3s/registries.yaml": "mirrors:\n  \"*\":\n"}, refused: "line 2"},
	{name: "k3s: mirror of all", files: map[string]string{"etc/rancher/k3s/registries.yaml": "mirrors:\n  \"*\":\n    endpoint:\n    - https://m.example\nconfigs: {}\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "    - \"" + ours}},
	{name: "k3s: rewrites", files: map[string]string{"etc/rancher/k3s/registries.yaml": "mirrors:\n  docker.io:\n    endpoint: [https://m.example]\n    rewrite:\n      \"^(.*)\": \"hub/$1\"\n"}, refused: "rewrites names"},
	{name: "k3s: private-registry", files: map[string]string{"etc/rancher/k3s/config.yaml": "private-registry: /data/registries.yaml\n", "data/registries.yaml": "configs:\n  r.example:\n    auth: {username: u}\n"}, want: map[string]string{"data/registries.yaml": ours}},
	{name: "k3s: private-registry in a drop-in", files: map[string]string{"etc/rancher/k3s/config.yaml": "private-registry: /data/old.yaml\n", "etc/rancher/k3s/config.yaml.d/10-registry.yaml": "private-registry: /data/new.yaml\n", "etc/rancher/k3s/config.yaml.d/20-node.yaml": "node-label: [a=b]\n", "data": "/"}, want: map[string]string{"data/new.yaml": ours}},
	{name: "k3s: private-registry in a drop-in of the other ending", files: map[string]string{"etc/rancher/k3s/config.yaml.d/10-registry.YML": "private-registry: /data/new.yaml\n", "etc/rancher/k3s/config.yaml.d/old.yaml": "/", "data": "/"}, want: map[string]string{"data/new.yaml": ours}},
	{name: "k3s: the configuration by a variable of the unit", files: map[string]string{"etc/systemd/system/k3s.service": "[Service]\nEnvironmentFile=-/etc/default/%N\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\nExecStart=/usr/local/bin/k3s \\\n    server\n", "etc/systemd/system/k3s.service.env": "K3S_CONFIG_FILE='/data/k3s.yaml'\n", "data/k3s.yaml": "private-registry: /data/registries.yaml\n"}, want: map[string]string{"data/registries.yaml": ours}},
	{name: "k3s: OpenRC", files: map[string]string{"etc/rancher/k3s": "/", "etc/init.d/k3s": "#!/sbin/openrc-run\nname=k3s\ncommand=\"/usr/local/bin/k3s\"\ncommand_args=\"server \\\n    '--config' \\\n    '/data/k3s.yaml' \\\n    >>/var/log/k3s.log 2>&1\"\n", "data/k3s.yaml": "private-registry: /data/registries.yaml\n"}, want: map[string]string{"data/registries.yaml": ours}},
	{name: "k3s: no default endpoint", files: map[string]string{"etc/rancher/k3s/config.yaml.d/a.yaml": "disable-default-registry-endpoint: true\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "      - \"" + ours + "\"\n      - \"https://registry-1.docker.io\"\n"}},
	{name: "k3s: no default endpoint by a flag, other mirrors", files: map[string]string{"etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s server --disable-default-registry-endpoint --debug\n", "etc/rancher/k3s/registries.yaml": "mirrors:\n  quay.io:\n    endpoint:\n      - \"https://m.example\"\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "- \"" + ours + "\"\n      - \"https://registry-1.docker.io\"\n"}},
	{name: "k3s: no default endpoint, a mirror of docker.io", files: map[string]string{"etc/rancher/k3s/config.yaml": "disable-default-registry-endpoint: \"true\"\n", "etc/rancher/k3s/registries.yaml": "mirrors:\n  docker.io:\n    endpoint:\n      - \"https://m.example\"\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "- \"" + ours + "\"\n      # <<< image2ipfs setup <<<\n      - \"https://m.example\"\n"}},
	{name: "rke2: no default endpoint, a mirror of all without any", files: map[string]string{"etc/rancher/rke2/config.yaml": "disable-default-registry-endpoint: true\n", "etc/rancher/rke2/registries.yaml": "mirrors:\n  \"*\":\n    rewrites: {}\n"}, refused: "line 2: K3s asks no registry itself"},
	{name: "k3s: a template with mirrors", files: map[string]string{"etc/rancher/k3s": "/", "var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://m.example\"]\n"}, refused: "config.toml.tmpl: with this template"},
	{name: "k3s: templates that read registries.yaml", files: map[string]string{"etc/rancher/k3s": "/", "var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl": "{{ template \"base\" . }}\n[debug]\n", "var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl": "[plugins.x.registry]\n  config_path = {{ printf \"%q\" .NodeConfig.Containerd.Registry }}\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": ours}},
	{name: "k3s: a default endpoint", files: map[string]string{"etc/rancher/k3s/config.yaml": "disable-default-registry-endpoint: false\n"}, want: map[string]string{"etc/rancher/k3s/registries.yaml": "- \"" + ours + "\"\n# <<<"}},
	{name: "k3s: config flag of the unit", files: map[string]string{"etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--config' \\\n\t'/data/k3s.yaml' \\\n\n", "data/k3s.yaml": "private-registry: \"/data/registries.yaml\"\n"}, want: map[string]string{"data/registries.yaml": ours}},
	{name: "rke2: other mirrors", files: map[string]string{"etc/rancher/rke2/registries.yaml": "mirrors:\n  quay.io:\n    endpoint:\n      - \"https://m.example\"\n"}, want: map[string]string{"etc/rancher/rke2/registries.yaml": "  docker.io:"}},
	{name: "microk8s: default", files: map[string]string{"var/snap/microk8s/current/args/containerd-template.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"${SNAP_DATA}/args/certs.d\"\n", "var/snap/microk8s/current/args/certs.d/docker.io/hosts.toml": "server = \"https://docker.io\"\n\n[host.\"https://registry-1.docker.io\"]\n  capabilities = [\"pull\", \"resolve\"]\n"}, want: map[string]string{"var/snap/microk8s/current/args/certs.d/docker.io/hosts.toml": ours}},
	{name: "microk8s: another directory", files: map[string]string{"var/snap/microk8s/current/args/containerd-template.toml": "version = 2\n" + criTable + "\n  config_path = \"/etc/certs\" # ours\n", "etc/certs": "/"}, want: map[string]string{"etc/certs/docker.io/hosts.toml": ours}},
	{name: "microk8s: a directory that nobody knows", files: map[string]string{"var/snap/microk8s/current/args/containerd-template.toml": "version = 2\n" + criTable + "\n  config_path = \"${SNAP_COMMON}/certs.d\"\n"}, refused: "config_path is \"${SNAP_COMMON}/certs.d\""},
	{name: "microk8s: before 1.23", files: map[string]string{"var/snap/microk8s/current/args/containerd-template.toml": "[plugins.cri.registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://registry-1.docker.io\"]\n"}, refused: "has no config_path"},
	{name: "microk8s: config_path in a comment", files: map[string]string{"var/snap/microk8s/current/args/containerd-template.toml": "# config_path = \"x\" is for 1.23\n[plugins.cri.registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://registry-1.docker.io\"]\n"}, refused: "has no config_path"},
	{name: "k0s: mirrors in a drop-in without a version line", files: map[string]string{"etc/k0s/containerd.d/mirrors.toml": "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://127.0.0.1:5055\"]\n"}, refused: "mirrors.toml, line 1: registry.mirrors.docker.io"},
	{name: "k0s: managed", files: map[string]string{"etc/k0s/containerd.toml": "# k0s_managed=true\nversion = 2\nimports = [\"/run/k0s/containerd-cri.toml\"]\n"}, want: map[string]string{"etc/k0s/containerd.d/image2ipfs.toml": "version = 2"}},
	{name: "k0s: managed, containerd 2", files: map[string]string{"etc/k0s/containerd.toml": "# k0s_managed=true\nversion = 3\n", "run/k0s/containerd-cri.toml": "version = 3\n"}, want: map[string]string{"etc/k0s/containerd.d/image2ipfs.toml": "io.containerd.cri.v1.images"}},
	{name: "k0s: drop-in with config_path", files: map[string]string{"etc/k0s/containerd.d/certs.toml": "version = 2\n" + criTable + "\nconfig_path = \"/etc/k0s/certs.d\"\n"}, want: map[string]string{"etc/k0s/certs.d/docker.io/hosts.toml": ours}},
	{name: "k0s: a drop-in by two names", files: map[string]string{"etc/k0s/containerd.d/a.toml": "version = 2\n" + criTable + "\nconfig_path = \"\"\n", "etc/k0s/containerd.d/b.toml": "-> a.toml"}, want: map[string]string{"etc/k0s/containerd.d/image2ipfs.toml": "config_path"}},
	{name: "k0s: managed by the user", files: map[string]string{"etc/k0s/containerd.toml": "version = 2\nroot = \"/var/lib/k0s/containerd\"\n"}, want: map[string]string{"etc/k0s/containerd.toml": "config_path"}},
}

func TestTable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, nil)
			for name, text := range c.files {
				m.place(name, text)
			}
			before := m.state()
			o := c.options
			o.Engine, _, _ = strings.Cut(c.name, ":")
			o.Root = m.root
			if c.refused != "" {
				_, err := New(o)
				if err == nil || !strings.Contains(err.Error(), c.refused) || !errors.Is(err, ErrConfig) && !errors.Is(err, ErrInvalid) {
					t.Errorf("got %v, want an error with %q", err, c.refused)
				}
				m.same(before)
				return
			}
			p := m.run(o)
			for name, part := range c.want {
				if text := m.files()[name]; !strings.Contains(text, part) {
					t.Errorf("%s has no %q:\n%s", name, part, text)
				}
			}
			if !strings.Contains(strings.Join(p.Notes, "\n"), c.note) {
				t.Errorf("notes are %q, want %q", p.Notes, c.note)
			}
			if c.asked != nil {
				c.asked(m, t)
			}
			if len(p.Changes) > 0 {
				o.Server = "https://registry.example:8443"
				m.run(o)
			}
			o.Undo = true
			m.run(o)
			m.same(before)
		})
	}
}

// place makes a file, link or directory.
func (m machine) place(name, text string) {
	m.Helper()
	path := m.path(name)
	switch target, link := strings.CutPrefix(text, "-> "); {
	case text == "/":
		if err := os.MkdirAll(path, 0o755); err != nil {
			m.Fatal(err)
		}
	case link:
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
			m.Fatal(err)
		}
	default:
		m.write(name, text)
	}
}

// state is everything below the root: contents, links, directories, modes.
func (m machine) state() map[string]string {
	m.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(m.root, path)
		text := info.Mode().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		} else if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + target
		}
		found[name] = text
		return nil
	})
	if err != nil {
		m.Fatal(err)
	}
	return found
}

func (m machine) same(before map[string]string) {
	m.Helper()
	after := m.state()
	for name := range before {
		if after[name] != before[name] {
			m.Errorf("%s was %q and is %q", name, before[name], after[name])
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			m.Errorf("%s is left: %q", name, after[name])
		}
	}
}

// dump has containerd itself make its configuration of the files, in a copy whose
// absolute imports lead there.
func dump(m machine, t *testing.T) {
	program, err := exec.LookPath("containerd")
	if err != nil {
		t.Log("containerd is not here: its own reading is not compared")
		return
	}
	dir := t.TempDir()
	for name, text := range m.files() {
		if rest, ok := strings.CutPrefix(name, "etc/containerd/"); ok {
			machine{t, dir}.write(rest, strings.ReplaceAll(text, "imports = [\"/etc/containerd", "imports = [\""+dir))
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "--config", filepath.Join(dir, "config.toml"), "config", "dump").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := string(out); !strings.Contains(text, `config_path = "/etc/c`) && !strings.Contains(text, `config_path = '/etc/c`) {
		t.Errorf("containerd sees no config_path:\n%s", text)
	}
}

// podmanInfo has podman itself read the files, in a mount namespace in which they
// are those of the machine.
func podmanInfo(m machine, t *testing.T) {
	program, err := exec.LookPath("podman")
	if err != nil || os.Geteuid() != 0 {
		t.Log("no podman here, or not root: its own reading is not compared")
		return
	}
	if err := os.MkdirAll(m.path("etc/containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "p") // podman wants a short name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	script := "mount --bind " + m.path("etc/containers") + " /etc/containers && exec env -u XDG_CONFIG_HOME HOME=" + m.path("root") + " " + program +
		" --root " + dir + "/root --runroot " + dir + "/run info --format '{{json .Registries}}'"
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script)
	_, homeless := os.Stat(m.path("root"))
	out, err := cmd.CombinedOutput()
	of := m.path("root/.rpmdb") // rpm makes it where podman finds one to ask for its own version
	if homeless != nil {
		of = m.path("root")
	}
	if err := os.RemoveAll(of); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount:") {
		t.Logf("no mount namespaces here: %s", out)
		return
	}
	if err != nil || !strings.Contains(string(out), `"Mirrors":[{"Location":"127.0.0.1:5000"`) {
		t.Errorf("podman sees no mirror: %v\n%s", err, out)
	}
}
