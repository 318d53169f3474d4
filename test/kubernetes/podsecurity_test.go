package kubernetes

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// TestPodSecurity: without it a namespace that enforces "restricted" would refuse the
// registry, and a mirror get more of its node than it needs.
func TestPodSecurity(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	found := rendered(t, latest...)
	for key, allowed := range map[string][]string{
		"StatefulSet image2ipfs-registry": nil,
		"Job image2ipfs-undo":             nil,
		// Requests of its own node, certs.d, which belongs to root, and peers' port.
		"DaemonSet image2ipfs-mirror": {"host namespaces", "hostPort", "restricted volume types", "runAsNonRoot != true", "runAsUser=0"},
		"DaemonSet image2ipfs-undo":   {"restricted volume types", "runAsNonRoot != true", "runAsUser=0"},
	} {
		if found[key] == nil {
			t.Errorf("there is no %s", key)
			continue
		}
		pod, _ := template(found[key])
		var reasons []string
		for _, result := range judge.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				reasons = append(reasons, result.ForbiddenReason)
			}
		}
		slices.Sort(reasons)
		if !slices.Equal(reasons, allowed) {
			t.Errorf("%s: against \"restricted\": %q, want %q", key, strings.Join(reasons, ", "), strings.Join(allowed, ", "))
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
				t.Errorf("%s: container %s may write its root", key, c.Name)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: container %s has no limit of memory, or asks for no processor", key, c.Name)
			}
		}
	}
}
