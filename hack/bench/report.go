package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report collects what was measured.
type report struct {
	sections []string
	verdicts []verdict
	tables   []*table
}

// verdict compares a figure with its target.
type verdict struct {
	what         string
	got, atMost  float64
	atLeast      bool
	unit, detail string
}

func newReport() *report { return &report{} }

func (r *report) verdict(v verdict) { r.verdicts = append(r.verdicts, v) }

// section adds a table of another kind.
func (r *report) section(title string, lines ...string) {
	r.sections = append(r.sections, "### "+title+"\n\n"+strings.Join(lines, "\n")+"\n")
}

// table is a set of contenders and their costs, round by round.
type table struct {
	r     *report
	title string
	ours  string
	keep  bool
	names []string
	costs map[string][]cost
	notes map[string]string
}

func (r *report) table(title, ours string) *table {
	t := &table{r: r, title: title, ours: ours, keep: true, costs: map[string][]cost{}, notes: map[string]string{}}
	r.tables = append(r.tables, t)
	return t
}

func (t *table) add(name string, c cost, note string) {
	if !t.keep {
		return
	}
	if t.costs[name] == nil {
		t.names = append(t.names, name)
	}
	t.costs[name] = append(t.costs[name], c)
	t.notes[name] = note
}

func median[T int64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func (t *table) median(name string) cost {
	var wall, cpu []time.Duration
	var m cost
	for _, c := range t.costs[name] {
		wall, cpu = append(wall, c.wall), append(cpu, c.cpu)
		m.rss, m.temp = max(m.rss, c.rss), max(m.temp, c.temp)
	}
	m.wall, m.cpu = median(wall), median(cpu)
	return m
}

// ratio compares wall times: the median of the rounds' ratios, in each of which
// both ran one behind the other.
func (t *table) ratio(what, ours string, atMost float64, floors ...string) {
	var ratios, cpus []float64
	for i, c := range t.costs[ours] {
		var wall, cpu time.Duration
		for _, f := range floors {
			if i >= len(t.costs[f]) {
				return
			}
			wall, cpu = wall+t.costs[f][i].wall, cpu+t.costs[f][i].cpu
		}
		ratios, cpus = append(ratios, float64(c.wall)/float64(wall)), append(cpus, float64(c.cpu)/float64(cpu))
	}
	if len(ratios) > 0 {
		name, _, _ := strings.Cut(strings.TrimPrefix(t.title, "Publishing "), " (")
		t.r.verdict(verdict{what: name + ": " + what, got: median(ratios), atMost: atMost, unit: "x", detail: fmt.Sprintf("CPU time %.2f x", median(cpus))})
	}
}

// limit checks the largest memory of all rounds.
func (t *table) limit(what string, atMost int64) {
	var most int64
	for name, costs := range t.costs {
		if strings.Contains(name, "embedded") {
			for _, c := range costs {
				most = max(most, c.rss)
			}
		}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(t.title, "Publishing "), " (")
	t.r.verdict(verdict{what: name + ": " + what, got: float64(most) / (1 << 20), atMost: float64(atMost) / (1 << 20), unit: "MiB"})
}

func (v verdict) String() string {
	met, sign := v.got <= v.atMost, "≤"
	if v.atLeast {
		met, sign = v.got >= v.atMost, "≥"
	}
	word := "**missed**"
	if met {
		word = "met"
	}
	return fmt.Sprintf("| %s | %s %g %s | %.3g %s | %s | %s |", v.what, sign, v.atMost, v.unit, v.got, v.unit, word, v.detail)
}

func (t *table) markdown() string {
	out := &strings.Builder{}
	fmt.Fprintf(out, "### %s\n\n| | wall s | rounds s | CPU s | peak memory MiB | temporary disk MiB | stored |\n|---|---|---|---|---|---|---|\n", t.title)
	for _, name := range t.names {
		m := t.median(name)
		lo, hi := m.wall, m.wall
		for _, c := range t.costs[name] {
			lo, hi = min(lo, c.wall), max(hi, c.wall)
		}
		fmt.Fprintf(out, "| %s | %.3f | %.2f to %.2f | %.2f | %d | %d | %s |\n",
			name, m.wall.Seconds(), lo.Seconds(), hi.Seconds(), m.cpu.Seconds(), m.rss>>20, m.temp>>20, t.notes[name])
	}
	return out.String()
}

func (r *report) markdown(b *bench) string {
	out := &strings.Builder{}
	fmt.Fprintf(out, "## Machine and versions\n\n%s\n\n", machine(b))
	fmt.Fprint(out, "## Against the targets\n\n| what | target | measured | | |\n|---|---|---|---|---|\n")
	for _, v := range r.verdicts {
		fmt.Fprintln(out, v)
	}
	fmt.Fprint(out, "\n## Figures\n")
	for _, t := range r.tables {
		if len(t.names) > 0 {
			fmt.Fprintf(out, "\n%s", t.markdown())
		}
	}
	for _, s := range r.sections {
		fmt.Fprintf(out, "\n%s", s)
	}
	return out.String()
}

// machine describes where this was measured.
func machine(b *bench) string {
	var lines []string
	line := func(what, value string) {
		if value != "" {
			lines = append(lines, "- "+what+": "+value)
		}
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(info), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	memory, _ := os.ReadFile("/proc/meminfo")
	total, _, _ := strings.Cut(strings.TrimPrefix(string(memory), "MemTotal:"), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	line("machine", fmt.Sprintf("%d x %s, %s memory, %s", runtime.NumCPU(), model, strings.TrimSpace(total), output("findmnt", "-no", "FSTYPE", "-T", b.dir)))
	line("system", output("uname", "-sr")+", "+output("sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"))
	line("load when the run ended", strings.TrimSpace(string(load)))
	line("image2ipfs", output("git", "describe", "--always", "--dirty")+", "+runtime.Version())
	line("others", output("dpkg-query", "-W", "-f", "${Package} ${Version}; ", "skopeo", "docker-registry", "nginx-light", "containerd", "openssl", "gzip", "pigz"))
	if b.kubo != "" {
		line("Kubo", output(b.kubo, "version"))
	}
	line("date", time.Now().UTC().Format("2006-01-02"))
	line("rounds", fmt.Sprint(b.rounds))
	return strings.Join(lines, "\n")
}

func output(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).Output()
	return strings.TrimSpace(string(out))
}

func cutPort(addr string) (host, port string, err error) { return net.SplitHostPort(addr) }
