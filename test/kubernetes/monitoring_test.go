package kubernetes

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var jobPattern = regexp.MustCompile(`\bjob="([^"]+)"`)

// TestAlertsMeetTheirMetrics: without it nobody would be told of pods that are down or
// of a damaged store: rules would ask for a job that nothing is scraped as, or for
// metrics of a flag that no pod has.
func TestAlertsMeetTheirMetrics(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/image2ipfs.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	wanted := jobPattern.FindAllStringSubmatch(string(rules), -1)
	if len(wanted) == 0 {
		t.Fatal("no rule names a job")
	}
	for of, found := range map[string]objects{
		"base":  build(t, "testdata/monitoring"),
		"chart": rendered(t, append(slices.Clone(latest), "--set", "metrics.enabled=true,metrics.serviceMonitor=true")...),
	} {
		monitor, _ := found["ServiceMonitor image2ipfs"].(*monitoring.ServiceMonitor)
		if monitor == nil {
			t.Errorf("%s: there is no ServiceMonitor", of)
			continue
		}
		scraped := jobs(monitor, found)
		if len(scraped) == 0 {
			t.Errorf("%s: the ServiceMonitor selects no Service", of)
		}
		for _, job := range scraped {
			for _, want := range wanted {
				if job != want[1] {
					t.Errorf("%s: pods are scraped as the job %q, and a rule asks for %q", of, job, want[1])
				}
			}
		}
		registry := found["StatefulSet image2ipfs-registry"].(*apps.StatefulSet)
		if args := registry.Spec.Template.Spec.Containers[0].Args; !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--scrub=") }) {
			t.Errorf("%s: the registry does not look for damage: %q", of, args)
		}
	}
}

// jobs are what Prometheus calls the Services that a monitor selects: by the operator's
// rules the value of the label that it names, or else the Service's name.
func jobs(monitor *monitoring.ServiceMonitor, found objects) (names []string) {
	for _, object := range found {
		service, ok := object.(*core.Service)
		if !ok || !labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) {
			continue
		}
		if value := service.Labels[monitor.Spec.JobLabel]; value != "" {
			names = append(names, value)
			continue
		}
		names = append(names, service.Name)
	}
	return names
}
