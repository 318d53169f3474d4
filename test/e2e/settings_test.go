//go:build e2e

// Configurations as distributions, projects and users have them, each with the
// engine that reads it.

package e2e

// setting is a configuration: files in the engine's directory below /etc, or in the
// home directory, ~.
type setting struct {
	kind string // of setup: docker, containerd or podman
	name string // whose it is
	// files are texts, or links where they begin with "-> ".
	files map[string]string
	// engines are those that read it; all of the kind when there are none.
	engines []string
	// asks is whom the engine asks for a name of docker.io.
	asks string
	// refused is what setup says of a configuration with which names with a CID
	// cannot be pulled; it leaves that alone.
	refused string
}

const (
	hub         = "registry-1.docker.io"
	gcr         = "mirror.gcr.io"
	corp        = "hub.corp.example"
	registryOf1 = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
	registryOf2 = "[plugins.'io.containerd.cri.v1.images'.registry]\n"
	toml        = "config.toml"
	hosts       = "certs.d/docker.io/hosts.toml"
	conf        = "registries.conf"
)

// serverAlone is a hosts.toml that containerd 1 overlooks as a whole, since it has no
// table of a host.
var serverAlone = map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", hosts: "server = \"https://hub.corp.example\"\n"}

// runtimeOf is a runtime of CRI. A file that has one replaces those of all others,
// and the default one, in containerd 1.
func runtimeOf(name string) string {
	return "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes." + name + "]\n  runtime_type = \"io.containerd.runc.v2\"\n"
}

// settings are sorted by kind; the first of each is tried by `make test`, too.
var settings = []setting{
	{kind: "docker", name: "a pull-through cache (Google's)", asks: gcr, files: map[string]string{"daemon.json": "{\n  \"registry-mirrors\": [\"https://mirror.gcr.io\"]\n}\n"}},
	{kind: "docker", name: "Debian and Ubuntu: no file", asks: hub},
	{kind: "docker", name: "GKE: an empty file", engines: []string{"dockerd28"}, asks: hub, // 20.10 does not start with it
		files: map[string]string{"daemon.json": "\n"}},
	{kind: "docker", name: "NVIDIA's toolkit, no line end", asks: hub, files: map[string]string{"daemon.json": "{\n    \"runtimes\": {\n        \"nvidia\": {\n            \"args\": [],\n            \"path\": \"nvidia-container-runtime\"\n        }\n    }\n}"}},
	{kind: "docker", name: "kubeadm's advice", asks: hub, files: map[string]string{"daemon.json": "{\n  \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"],\n  \"log-driver\": \"json-file\",\n  \"log-opts\": {\n    \"max-size\": \"100m\"\n  }\n}\n"}},
	{kind: "docker", name: "Docker Desktop", asks: hub, files: map[string]string{"daemon.json": "{\n  \"builder\": {\n    \"gc\": {\n      \"defaultKeepStorage\": \"20GB\",\n      \"enabled\": true\n    }\n  },\n  \"experimental\": false\n}\n"}},
	{kind: "docker", name: "snap: aligned values", asks: hub, files: map[string]string{"daemon.json": "{\n    \"log-level\":        \"error\"\n}\n"}},
	{kind: "docker", name: "Windows' line ends, tabs, a mirror with a slash", asks: gcr, files: map[string]string{"daemon.json": "{\r\n\t\"registry-mirrors\": [\r\n\t\t\"https://mirror.gcr.io/\"\r\n\t]\r\n}\r\n"}},
	{kind: "docker", name: "an empty list of mirrors, registries without TLS", asks: hub, files: map[string]string{"daemon.json": "{\"insecure-registries\": [\"10.0.0.0/8\", \"registry.local:5000\"], \"registry-mirrors\": []}"}},
	{kind: "docker", name: "two mirrors, the first is gone", asks: gcr, files: map[string]string{"daemon.json": "{\"registry-mirrors\": [\"https://127.0.0.1:1\", \"https://mirror.gcr.io\"], \"max-concurrent-downloads\": 10}\n"}},
	{kind: "docker", name: "a link into another directory (NixOS)", asks: hub, files: map[string]string{"daemon.json": "-> store/x-daemon.json", "store/x-daemon.json": "{\"live-restore\": true}\n"}},

	{kind: "containerd", name: "a mirror in hosts.toml (AKS, GKE)", asks: gcr, files: map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", hosts: "server = \"https://registry-1.docker.io\"\n\n[host.\"https://mirror.gcr.io\"]\n  capabilities = [\"pull\", \"resolve\"]\n"}},
	{kind: "containerd", name: "Debian", asks: hub, files: map[string]string{toml: "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n      conf_dir = \"/etc/cni/net.d\"\n"}},
	{kind: "containerd", name: "config default of 1.7", asks: hub, files: map[string]string{toml: "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".registry]\n      config_path = \"\"\n\n      [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors]\n"}},
	{kind: "containerd", name: "config default of 2.x", engines: []string{"containerd2"}, asks: hub, files: map[string]string{toml: "version = 3\n[plugins]\n  [plugins.'io.containerd.cri.v1.images']\n    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n"}},
	{kind: "containerd", name: "config default of 2.x, a mirror beside it", engines: []string{"containerd2"}, asks: hub, refused: "config_path names several directories", files: map[string]string{toml: "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n", "certs.d/quay.io/hosts.toml": "server = \"https://quay.io\"\n"}},
	{kind: "containerd", name: "version 3, drop-ins by a pattern", engines: []string{"containerd2"}, asks: gcr, files: map[string]string{toml: "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "conf.d/10-certs.toml": "version = 3\n" + registryOf2 + "config_path = \"/etc/containerd/certs.d\"\n", "conf.d/20-other.toml": "version = 3\noom_score = -999\n", hosts: "[host.\"https://mirror.gcr.io\"]\n"}},
	{kind: "containerd", name: "mirrors in config.toml (deprecated), which ctr does not know", asks: gcr + " " + hub, refused: "registry.mirrors.docker.io is set", engines: []string{"containerd16"}, files: map[string]string{toml: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://mirror.gcr.io\"]\n"}},
	{kind: "containerd", name: "mirrors in an imported file", asks: gcr + " " + hub, refused: "registry.mirrors.docker.io is set", files: map[string]string{toml: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "conf.d/mirrors.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://mirror.gcr.io\"]\n"}},
	{kind: "containerd", name: "kubespray", asks: hub, files: map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", hosts: "server = \"https://docker.io\"\n[host.\"https://registry-1.docker.io\"]\n  capabilities = [\"pull\",\"resolve\"]\n  skip_verify = false\n  override_path = false\n"}},
	{kind: "containerd", name: "Spegel: a mirror of all, which is gone", asks: hub, files: map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", "certs.d/_default/hosts.toml": "[host.'http://127.0.0.1:1']\ncapabilities = ['pull', 'resolve']\n"}},
	{kind: "containerd", name: "no version line", engines: []string{"containerd16"}, asks: hub, files: map[string]string{toml: "oom_score = -999\n[plugins.cri]\n  sandbox_image = \"pause:3\"\n"}},
	{kind: "containerd", name: "NVIDIA's drop-in, with what it replaces in containerd 1", asks: hub, files: map[string]string{toml: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "conf.d/99-nvidia.toml": "version = 2\n" + runtimeOf("runc") + runtimeOf("nvidia")}},
	{kind: "containerd", name: "NVIDIA's drop-in", engines: []string{"containerd2"}, asks: hub, files: map[string]string{toml: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "conf.d/99-nvidia.toml": "version = 2\n" + runtimeOf("nvidia")}},
	{kind: "containerd", name: "config_path in a drop-in", asks: corp, files: map[string]string{toml: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "conf.d/certs.toml": "version = 2\n" + registryOf1 + "config_path = \"/etc/containerd/certs.d\"\n", hosts: "server = \"https://hub.corp.example\"\n[host.\"https://hub.corp.example\"]\n"}},
	{kind: "containerd", name: "docker.io is a link", asks: corp, files: map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", "certs.d/docker.io": "-> ../real", "real/hosts.toml": "[host.\"https://hub.corp.example\"]\n"}},
	{kind: "containerd", name: "a server without a table", engines: []string{"containerd2"}, asks: corp, files: serverAlone},
	{kind: "containerd", name: "a server without a table, which containerd 1 overlooks", engines: []string{"containerd16"}, asks: hub, refused: "line 1: server is set there", files: serverAlone},
	{kind: "containerd", name: "an empty hosts.toml (a ConfigMap)", asks: hub, files: map[string]string{toml: "version = 2\n" + registryOf1 + "  config_path = \"/etc/containerd/certs.d\"\n", hosts: ""}},
	{kind: "containerd", name: "an old name beside it, comments", asks: gcr, files: map[string]string{toml: "version = 2 # do not edit\n" + registryOf1 + "  # see certs.d\n  config_path = \"/etc/containerd/certs.d\" # here\n", hosts: "# managed by Ansible\nserver = \"https://registry-1.docker.io\" # upstream\n\n[host.\"https://mirror.gcr.io\"] # first\n  capabilities = [\"pull\", \"resolve\"] # no push\n"}},

	{kind: "podman", name: "a mirror of docker.io", asks: gcr, files: map[string]string{conf: "unqualified-search-registries = [\"docker.io\"]\n\n[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\n[[registry.mirror]]\nlocation = \"mirror.gcr.io\"\n"}},
	{kind: "podman", name: "Debian", asks: hub, files: map[string]string{conf: "# For more information on this configuration file, see containers-registries.conf(5).\n", "registries.conf.d/shortnames.conf": "[aliases]\n  \"alpine\" = \"docker.io/library/alpine\"\n"}},
	{kind: "podman", name: "Fedora", asks: hub, files: map[string]string{conf: "unqualified-search-registries = [\"registry.fedoraproject.org\", \"registry.access.redhat.com\", \"docker.io\"]\nshort-name-mode=\"enforcing\"\n"}},
	{kind: "podman", name: "openSUSE", asks: hub, files: map[string]string{conf: "unqualified-search-registries = [\"registry.opensuse.org\", \"registry.suse.com\", \"docker.io\"]\n"}},
	{kind: "podman", name: "RHEL: helpers, other blocks", asks: hub, files: map[string]string{conf: "unqualified-search-registries = [\"registry.redhat.io\", \"docker.io\"]\ncredential-helpers = [\"containers-auth.json\"]\n\n[[registry]]\nlocation = \"blocked.example\"\nblocked = true\n"}},
	{kind: "podman", name: "docker.io is somewhere else", asks: corp, files: map[string]string{conf: "[[registry]]\nprefix = \"docker.io\"\nlocation = \"hub.corp.example\"\n"}},
	{kind: "podman", name: "a drop-in for docker.io", asks: corp, files: map[string]string{conf: "# none\n", "registries.conf.d/50-corp.conf": "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"hub.corp.example\"\n"}},
	{kind: "podman", name: "a rule for docker.io/library alone", asks: corp, files: map[string]string{conf: "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"hub.corp.example/library\"\n"}},
	{kind: "podman", name: "a wildcard", asks: gcr, files: map[string]string{conf: "[[registry]]\nprefix = \"*.io\"\n[[registry.mirror]]\nlocation = \"mirror.gcr.io\"\n"}},
	{kind: "podman", name: "root's own file, which alone counts", asks: gcr, files: map[string]string{"~/.config/containers/registries.conf": "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"mirror.gcr.io\"\n", "registries.conf.d/corp.conf": "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n"}},
	{kind: "podman", name: "version 1 of the file", asks: hub, files: map[string]string{conf: "[registries.search]\nregistries = ['docker.io']\n"}},
}
