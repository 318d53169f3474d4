//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ref"
)

const (
	rulesFile     = "../../deploy/prometheus/image2ipfs.rules.yml"
	rulesTests    = "../../deploy/prometheus/image2ipfs.rules_test.yml"
	dashboardFile = "../../deploy/grafana/image2ipfs.json"
)

// promtool runs Prometheus' own checker, and gives what it says. The test is skipped where
// there is none, but not in CI.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	bin := os.Getenv("PROMTOOL")
	if bin == "" {
		bin = "promtool"
	}
	path, err := exec.LookPath(bin)
	if err != nil && os.Getenv("CI") == "true" && os.Getenv("PROMTOOL") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("%v; set PROMTOOL to it, `make test` downloads Debian's", err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

// documented are the metrics of the reference page, with their types.
func documented(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(image2ipfs_[a-z0-9_]+)` \\| ([a-z]+) ").FindAllStringSubmatch(string(page), -1) {
		all[m[1]] = m[2]
	}
	if len(all) < 60 {
		t.Fatalf("the reference has %d metrics", len(all))
	}
	return all
}

// mentioned are the metrics in a text, without what histograms add to their names.
func mentioned(known map[string]string, text string) (all []string) {
	for _, name := range regexp.MustCompile(`image2ipfs_[a-z0-9_]+`).FindAllString(text, -1) {
		if base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, ""); known[base] == "histogram" {
			name = base
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Rules and dashboard ask for what is told, and the dashboard shows all of it.
func TestRulesAndDashboardNameMetrics(t *testing.T) {
	known := documented(t)
	for _, file := range []string{rulesFile, dashboardFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range mentioned(known, string(text)) {
			if known[name] == "" {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	shown := mentioned(known, string(text))
	for name := range known {
		if !slices.Contains(shown, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// dashboard is what a test asks of one.
type dashboard struct {
	Panels []struct {
		ID          int
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr string }
	}
}

// Each panel has a place of its own and expressions that Prometheus understands.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	taken := map[[2]int]string{}
	for i, p := range d.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Errorf("%q lies on %q, or beside the page, at %v", p.Title, other, at)
				}
				taken[at] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for j, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
			fmt.Fprintf(&rules, "  - {record: 'panel%d:%d', expr: %s}\n", i, j, strconv.Quote(expr))
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", file); err != nil {
		t.Error(err, out)
	}
}

// Each rule fires by what its test says, not by what nearly does, and none is without.
func TestAlertRules(t *testing.T) {
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(rulesTests)
	if err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllSubmatch(rules, -1) {
		for _, does := range []string{"fires", "does not fire"} {
			if !bytes.Contains(tests, fmt.Appendf(nil, "- name: %s %s\n", m[1], does)) {
				t.Errorf("no test says when %s %s", m[1], does)
			}
		}
		if !bytes.Contains(told, fmt.Appendf(nil, "| `%s` |", m[1])) {
			t.Errorf("docs/monitoring.md does not say what to do about %s", m[1])
		}
	}
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTests}} {
		if out, err := promtool(t, args...); err != nil {
			t.Error(args, err, out)
		}
	}
}

// Times of the scrapes of a server, as promtool has them: before what happens to it, and after.
const (
	scrapedBefore = 15 // minutes
	scrapedAfter  = 70
)

// firing fails unless exactly these alerts fire within an hour after a server's metrics
// became what they are, and what was counted goes on like this, by the rules as Prometheus
// reads them.
func (r *reloader) firing(before string, want ...string) {
	r.Helper()
	after := r.scrape()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		r.Fatal(err)
	}
	var test strings.Builder
	fmt.Fprintf(&test, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n", rules)
	was := series(before)
	for name, value := range series(after) {
		first, more := value, 0.0
		if isCounter.MatchString(name) && before != "" {
			first = was[name]
			more = value - first
		}
		fmt.Fprintf(&test, "  - {series: '%s', values: '%s+0x%d %s+%sx%d'}\n", name, number(first), scrapedBefore, number(value), number(more), scrapedAfter-scrapedBefore)
	}
	fmt.Fprintf(&test, "  - {series: 'up{job=\"image2ipfs\", instance=\"a\"}', values: '1+0x%d'}\n", scrapedAfter)
	test.WriteString("  promql_expr_test:\n")
	// Those that look at what happened lately fire early, others late.
	fmt.Fprintf(&test, "  - expr: count by (alertname) (max_over_time(ALERTS{alertstate=\"firing\"}[%dm]))\n    eval_time: %dm\n    exp_samples:\n", scrapedAfter-scrapedBefore, scrapedAfter-1)
	for _, name := range want {
		fmt.Fprintf(&test, "    - {labels: '{alertname=%q}', value: 1}\n", name)
	}
	file := filepath.Join(r.TempDir(), "test.yml")
	if err := os.WriteFile(file, []byte(test.String()), 0o600); err != nil {
		r.Fatal(err)
	}
	if out, err := promtool(r.T, "test", "rules", file); err != nil {
		r.Errorf("%v: %s\nof\n%s", err, out, after)
	}
}

// series are those of a scrape, as promtool writes them, and their values. Times are as
// far away as they are, from the time at which rules are asked.
func series(text string) map[string]float64 {
	all := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^(image2ipfs_\w+)(?:\{(.*)\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		if strings.HasSuffix(m[1], "_timestamp_seconds") {
			value += scrapedAfter*60 - float64(time.Now().Unix())
		}
		labels := `job="image2ipfs",instance="a"`
		if m[2] != "" {
			labels += "," + m[2]
		}
		all[m[1]+"{"+labels+"}"] = value
	}
	return all
}

// isCounter matches a series of a counter, or of a histogram.
var isCounter = regexp.MustCompile(`^\w+_(total|bucket|count|sum)\{`)

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (r *reloader) scrape() string {
	r.Helper()
	text, err := fetchText(r.url + "/metrics")
	if err != nil {
		r.Fatal(err)
	}
	return text
}

// Nothing fires of a server that is well; of a broken one exactly what is broken does.
func TestAlertsOfBrokenServer(t *testing.T) {
	t.Run("well", func(t *testing.T) {
		r := startReloader(t, "--push", "127.0.0.1:0", "--gc", "24h", "--scrub", "1GiB/s")
		before := r.scrape()
		if _, err := fetchText(r.url + "/v2/"); err != nil {
			t.Fatal(err)
		}
		r.firing(before)
	})
	t.Run("store gone", func(t *testing.T) {
		r := startReloader(t)
		before := r.scrape()
		dir := os.Getenv("IMAGE2IPFS_PATH")
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		defer os.Rename(dir+".away", dir)
		r.until("/metrics", "image2ipfs_store_up 0")
		r.firing(before, "Image2ipfsStoreGone")
	})
	t.Run("damaged", func(t *testing.T) {
		damagedStore(t)
		r := startReloader(t, "--scrub", "1GiB/s")
		r.until("/metrics", "image2ipfs_scrub_damaged_packs 1")
		r.firing("", "Image2ipfsStoreDamaged")
	})
	t.Run("source fails", func(t *testing.T) {
		r := startReloader(t, "--source", "http://127.0.0.1:1")
		before := r.scrape()
		root, err := ref.ParseRoot("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			resp, err := http.Get(r.url + "/v2/" + ref.Ciq(root) + "/app/manifests/latest")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		r.firing(before, "Image2ipfsErrors", "Image2ipfsSourceFailing")
	})
	t.Run("settings refused", func(t *testing.T) {
		r := startReloader(t)
		before := r.scrape()
		r.reload("gateway = \"http://192.0.2.1\"\n", `"refused"} 1`)
		r.firing(before, "Image2ipfsReloadRefused")
	})
}

// damagedStore makes a store at $IMAGE2IPFS_PATH with an image of which a byte is wrong.
func damagedStore(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	t.Setenv("IMAGE2IPFS_PATH", dir)
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("layer "), 100_000)
	publishBlob(t, store, data)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "*"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	f, err := os.OpenFile(packs[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{'L'}, 300_000); err != nil {
		t.Fatal(err)
	}
}
