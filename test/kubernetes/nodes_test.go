package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	networking "k8s.io/api/networking/v1"
)

// TestExtraPeersAreReached: without it the policy would keep the registry from peers that
// the values name, and nothing would tell.
func TestExtraPeersAreReached(t *testing.T) {
	found := rendered(t, append(slices.Clone(latest), "--set",
		"peers.extra={/ip4/192.0.2.1/tcp/4301/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X,/ip4/192.0.2.1/udp/4302/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X,dns:peers.example:4303,dns:others.example,dns:more.example:4303}")...)
	policy := found["NetworkPolicy image2ipfs-registry"].(*networking.NetworkPolicy)
	var ports []string
	for _, p := range policy.Spec.Egress[0].Ports {
		ports = append(ports, string(*p.Protocol)+" "+p.Port.String())
	}
	if want := []string{"UDP 53", "TCP 53", "TCP 4001", "TCP 4301", "UDP 4302", "TCP 4303"}; !slices.Equal(ports, want) {
		t.Errorf("the registry may reach %q, want %q", ports, want)
	}
}

// TestOtherContainerds: without it pods on K3s, RKE2 and k0s would write files that
// nobody reads, or wait for a directory that is not there.
func TestOtherContainerds(t *testing.T) {
	for version, name := range map[string]string{"v1.34.1+k3s1": "k3s", "v1.34.1+rke2r1": "rke2", "v1.34.1+k0s": "k0s", "v1.34.1-gke.100": "", "v1.34.1": ""} {
		// helm asks a cluster for its version as a whole, and takes no "+" in --kube-version.
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(chart)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(copied, "templates/mirror.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(".Capabilities.KubeVersion.Version"), []byte(strconv.Quote(version))), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"template", namespace, copied, "--kube-version", "1.34.1"}, latest...)
		_, err = helm(t, args...)
		if name == "" != (err == nil) || name != "" && !strings.Contains(err.Error(), "image2ipfs setup "+name+" --yes") {
			t.Errorf("%s: %v", version, err)
		}
		if _, err := helm(t, append(args, "--set", "setup.enabled=false")...); err != nil {
			t.Errorf("%s, without setup: %v", version, err)
		}
	}
}

// TestUninstallEnds: without it one node that is not ready would keep helm uninstall
// until helm's own time is over, and what the hook made would stay.
func TestUninstallEnds(t *testing.T) {
	found := rendered(t, latest...)
	job := found["Job image2ipfs-undo"].(*batch.Job)
	if s := job.Spec; *s.BackoffLimit != 0 || s.ActiveDeadlineSeconds == nil || *s.ActiveDeadlineSeconds >= 300 {
		t.Errorf("the Job has %d more tries and %v seconds", *s.BackoffLimit, s.ActiveDeadlineSeconds)
	}
	for key, object := range found {
		if name, ok := strings.CutSuffix(key, " image2ipfs-undo"); ok && !strings.Contains(object.GetAnnotations()["helm.sh/hook-delete-policy"], "hook-failed") {
			t.Errorf("the hook's %s stays when the hook fails", name)
		}
	}
}

// TestNothingIsHidden: without it the init container would not see which registries
// /etc/docker/certs.d, which containerd 2.2 reads after certs.d, speaks of, and hide them.
func TestNothingIsHidden(t *testing.T) {
	for name, found := range map[string]objects{"base": build(t, deploy+"base"), "chart": rendered(t, latest...)} {
		pod := found["DaemonSet image2ipfs-mirror"].(*apps.DaemonSet).Spec.Template.Spec
		seen := false
		for _, m := range pod.InitContainers[0].VolumeMounts {
			for _, v := range pod.Volumes {
				seen = seen || m.Name == v.Name && m.MountPath == "/host/etc/docker" && m.ReadOnly && v.HostPath.Path == "/etc/docker"
			}
		}
		if !seen {
			t.Errorf("%s: the init container does not see /etc/docker, to be read only", name)
		}
	}
}
