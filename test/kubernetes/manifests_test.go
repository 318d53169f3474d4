package kubernetes

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var latest = []string{"--set", "image.repository=registry.example/image2ipfs,image.tag=latest"}

// TestBaseAndChartAgree: without it who goes by the chart would have another
// deployment than who goes by the base, and what is tried of one not be true of the
// other.
func TestBaseAndChartAgree(t *testing.T) {
	for name, of := range map[string]struct {
		base []string
		args []string
	}{
		"base":       {[]string{deploy + "base", deploy + "undo"}, latest},
		"monitoring": {[]string{"testdata/monitoring", deploy + "undo"}, append(slices.Clone(latest), "--set", "metrics.enabled=true,metrics.serviceMonitor=true")},
		"nosetup":    {[]string{"testdata/nosetup"}, append(slices.Clone(latest), "--set", "setup.enabled=false")},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			for _, dir := range of.base {
				maps.Copy(want, plain(t, build(t, dir)))
			}
			got := plain(t, rendered(t, of.args...))
			for _, waits := range []string{"Job", "Role", "RoleBinding", "ServiceAccount"} {
				delete(got, waits+" image2ipfs-undo") // a person does that with kubectl
			}
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if got[key] != want[key] {
					t.Errorf("%s\nof the base:\n%s\nof the chart:\n%s", key, want[key], got[key])
				}
			}
			for key := range got {
				if want[key] == "" {
					t.Errorf("%s is in the chart alone", key)
				}
			}
		})
	}
}

// plain are objects as JSON without what helm adds.
func plain(t *testing.T, from objects) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for key, object := range from {
		labels := object.GetLabels()
		for _, own := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"} {
			delete(labels, own)
		}
		for name := range object.GetAnnotations() {
			if strings.HasPrefix(name, "helm.sh/") {
				object.SetAnnotations(nil)
			}
		}
		text, err := json.MarshalIndent(object, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		texts[key] = string(text)
	}
	return texts
}

// TestValues: without it a value would make manifests that Kubernetes refuses, or
// takes and does not follow.
func TestValues(t *testing.T) {
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("files with values: %v (%v)", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if out, err := helm(t, "lint", "--strict", chart, "--values", file, "--kube-version", "1.34.1"); err != nil {
				t.Error(err, string(out))
			}
			found := rendered(t, "--values", file)
			for key, want := range map[string]bool{
				"DaemonSet image2ipfs-mirror":       !strings.HasPrefix(filepath.Base(file), "registry"),
				"StatefulSet image2ipfs-registry":   !strings.HasPrefix(filepath.Base(file), "mirrors"),
				"Job image2ipfs-undo":               strings.HasPrefix(filepath.Base(file), "everything"),
				"NetworkPolicy image2ipfs-registry": strings.HasPrefix(filepath.Base(file), "registry") || strings.HasPrefix(filepath.Base(file), "everything"),
				"ServiceMonitor image2ipfs":         strings.HasPrefix(filepath.Base(file), "everything"),
			} {
				if (found[key] != nil) != want {
					t.Errorf("%s: found %t, want %t", key, found[key] != nil, want)
				}
			}
			for key, object := range found {
				consistent(t, key, object)
			}
		})
	}
	for set, want := range map[string]string{
		"image.repository=a,peers.extra[0]=/ip4/192.0.2.1": "peers.extra: /ip4/192.0.2.1: expected dns:NAME",
		"": "image.repository: where the cluster pulls the image",
		"image.repository=a,metrics.serviceMonitor=true": "metrics.serviceMonitor wants metrics.enabled",
		"image.repository=a,mirror.chacheSize=1GiB":      "chacheSize",
		"image.repository=a,mirror.cacheSize=12.5GiB":    "mirror.cacheSize: 12.5GiB has no room in mirror.sizeLimit, 12Gi",
		"image.repository=a,mirror.port=65536":           "/mirror/port",
		"image.repository=a,registry.enabled=yes":        "/registry/enabled",
		"image.repository=a,mirror.sizeLimit=12GiB":      "/mirror/sizeLimit",
		"image.repository=a,registry.scrub=weekly":       "/registry/scrub",
	} {
		_, err := helm(t, "template", chart, "--kube-version", "1.34.1", "--set", set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %q: %v, want an error that says %q", set, err, want)
		}
	}
}

// template is the pod of an object that makes pods, with the labels that select it.
func template(object meta.Object) (*core.PodTemplateSpec, *meta.LabelSelector) {
	switch o := object.(type) {
	case *apps.DaemonSet:
		return &o.Spec.Template, o.Spec.Selector
	case *apps.StatefulSet:
		return &o.Spec.Template, o.Spec.Selector
	case *batch.Job:
		return &o.Spec.Template, nil
	}
	return nil, nil
}

// consistent checks what the types do not: selectors, volumes that are mounted, and
// flags that the program has.
func consistent(t *testing.T, key string, object meta.Object) {
	t.Helper()
	pod, selector := template(object)
	if pod == nil {
		return
	}
	if selector != nil {
		for name, value := range selector.MatchLabels {
			if pod.Labels[name] != value {
				t.Errorf("%s: the selector wants %s=%s, the pods have %v", key, name, value, pod.Labels)
			}
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	if set, ok := object.(*apps.StatefulSet); ok {
		for _, claim := range set.Spec.VolumeClaimTemplates {
			volumes[claim.Name] = true
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s: container %s mounts %s, which is no volume", key, c.Name, m.Name)
			}
		}
		known(t, key, c.Args)
		for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe != nil && probe.Exec != nil {
				known(t, key, probe.Exec.Command[1:])
			}
		}
	}
}

var flagPattern = regexp.MustCompile(`(?m)^ +(?:-\w, |    )--([a-z-]+)`)

// known checks that the command has the flags, by its reference.
func known(t *testing.T, key string, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] == "rollout" { // kubectl's
		return
	}
	text, err := os.ReadFile("../../docs/reference/image2ipfs_" + args[0] + ".md")
	if err != nil {
		t.Errorf("%s: %v", key, err)
		return
	}
	flags := map[string]bool{}
	for _, m := range flagPattern.FindAllStringSubmatch(string(text), -1) {
		flags[m[1]] = true
	}
	for _, arg := range args[1:] {
		if name, ok := strings.CutPrefix(arg, "--"); ok {
			if name, _, _ = strings.Cut(name, "="); !flags[name] {
				t.Errorf("%s: image2ipfs %s has no flag --%s", key, args[0], name)
			}
		}
	}
}
