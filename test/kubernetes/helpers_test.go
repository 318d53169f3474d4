// Package kubernetes checks the manifests of deploy/kubernetes against the types of
// Kubernetes' own API. It is a module of its own so that the program needs none of
// this. hack/kubernetes-test.sh runs it with helm.
package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	deploy = "../../deploy/kubernetes/"
	chart  = deploy + "chart"
	// namespace is also the release, so that names are those of the base.
	namespace = "image2ipfs"
)

// kinds are the types that manifests may be of, by apiVersion and kind.
var kinds = map[string]func() meta.Object{
	"v1 Namespace":                             func() meta.Object { return new(core.Namespace) },
	"v1 Service":                               func() meta.Object { return new(core.Service) },
	"v1 ServiceAccount":                        func() meta.Object { return new(core.ServiceAccount) },
	"apps/v1 DaemonSet":                        func() meta.Object { return new(apps.DaemonSet) },
	"apps/v1 StatefulSet":                      func() meta.Object { return new(apps.StatefulSet) },
	"batch/v1 Job":                             func() meta.Object { return new(batch.Job) },
	"networking.k8s.io/v1 NetworkPolicy":       func() meta.Object { return new(networking.NetworkPolicy) },
	"rbac.authorization.k8s.io/v1 Role":        func() meta.Object { return new(rbac.Role) },
	"rbac.authorization.k8s.io/v1 RoleBinding": func() meta.Object { return new(rbac.RoleBinding) },
	"monitoring.coreos.com/v1 ServiceMonitor":  func() meta.Object { return new(monitoring.ServiceMonitor) },
}

// objects are manifests by kind and name.
type objects map[string]meta.Object

// decode reads documents strictly: no field that the type does not have, none twice,
// none in another case.
func decode(t *testing.T, text []byte) objects {
	t.Helper()
	found := objects{}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		data, err := yaml.YAMLToJSONStrict(bytes.TrimPrefix(doc, []byte("---\n")))
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		var kind meta.TypeMeta
		if err := json.Unmarshal(data, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind == "" && string(data) == "null" {
			continue // comments alone
		}
		make := kinds[kind.APIVersion+" "+kind.Kind]
		if make == nil {
			t.Fatalf("a manifest is of kind %q, apiVersion %q, which is not known here", kind.Kind, kind.APIVersion)
		}
		object := make()
		faults, err := strictjson.UnmarshalStrict(data, object)
		if err := errors.Join(append(faults, err)...); err != nil {
			t.Errorf("%s %s: %v", kind.Kind, object.GetName(), err)
		}
		key := kind.Kind + " " + object.GetName()
		if object.GetName() == "" || found[key] != nil {
			t.Errorf("%q is there twice, or has no name", key)
		}
		found[key] = object
	}
	return found
}

// build is what kubectl apply -k of a directory would send.
func build(t *testing.T, dir string) objects {
	t.Helper()
	found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := found.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// helm runs the command that HELM names.
func helm(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Fatal("HELM does not name helm; hack/kubernetes-test.sh builds it and runs these tests")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New(strings.TrimSpace(stdout.String() + stderr.String()))
	}
	return stdout.Bytes(), nil
}

// rendered is the chart with some values.
func rendered(t *testing.T, args ...string) objects {
	t.Helper()
	out, err := helm(t, append([]string{"template", namespace, chart, "--namespace", namespace, "--kube-version", "1.34.1"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}
