//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report collects what was measured.
type report struct {
	verdicts []string
	tables   []*table
	grown    *growth
}

// verdict compares a figure with the most that it may be; 0 means that nothing
// was promised.
func (r *report) verdict(what string, got, atMost float64, unit, detail string) {
	if atMost == 0 {
		r.verdicts = append(r.verdicts, fmt.Sprintf("| %s | | %.3g %s | | %s |", what, got, unit, detail))
		return
	}
	r.judge(what, "≤", got, atMost, got <= atMost, unit, detail)
}

func (r *report) verdictAtLeast(what string, got, atLeast float64, unit, detail string) {
	r.judge(what, "≥", got, atLeast, got >= atLeast, unit, detail)
}

func (r *report) judge(what, sign string, got, wanted float64, met bool, unit, detail string) {
	word := "**missed**"
	if met {
		word = "met"
	}
	r.verdicts = append(r.verdicts, fmt.Sprintf("| %s | %s %g %s | %.3g %s | %s | %s |", what, sign, wanted, unit, got, unit, word, detail))
}

// table has a line for each side, with the figures of all rounds.
type table struct {
	title, about string
	names        []string
	rounds       map[string][]spread
	size         map[string]int64
}

func (r *report) table(title, about string) *table {
	t := &table{title: title, about: about, rounds: map[string][]spread{}, size: map[string]int64{}}
	r.tables = append(r.tables, t)
	return t
}

func (t *table) add(name string, s spread, size int64) {
	if t.rounds[name] == nil {
		t.names = append(t.names, name)
	}
	t.rounds[name], t.size[name] = append(t.rounds[name], s), size
}

func (t *table) markdown(out *strings.Builder) {
	fmt.Fprintf(out, "\n### %s\n\n%s\n\n| | wall s | rounds s | left the publisher | servers' CPU s |\n|---|---|---|---|---|\n", t.title, t.about)
	for _, name := range t.names {
		var wall, images, cpu []float64
		for _, s := range t.rounds[name] {
			wall, cpu = append(wall, s.wall.Seconds()), append(cpu, s.cpu.Seconds())
			images = append(images, float64(s.left)/float64(t.size[name]))
		}
		fmt.Fprintf(out, "| %s | %.2f | %.2f to %.2f | %.2f images | %.2f |\n", name, median(wall), slices.Min(wall), slices.Max(wall), median(images), median(cpu))
	}
}

func (r *report) growth(title, size string) *growth {
	r.grown = &growth{title: title, size: size}
	return r.grown
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (r *report) markdown(b *bench) string {
	out := &strings.Builder{}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(out, "Machines are network namespaces on %d cores (%s); load when the run ended: %s; %s; image2ipfs %s, docker-registry %s; %d rounds.\n\n", runtime.NumCPU(),
		said("uname", "-sr"), strings.TrimSpace(string(load)), time.Now().UTC().Format(time.DateOnly),
		said("git", "describe", "--always", "--dirty"), said("dpkg-query", "-W", "-f", "${Version}", "docker-registry"), b.rounds)
	fmt.Fprint(out, "| what | target | measured | | |\n|---|---|---|---|---|\n")
	for _, v := range r.verdicts {
		fmt.Fprintln(out, v)
	}
	for _, t := range r.tables {
		if len(t.names) > 0 {
			t.markdown(out)
		}
	}
	if g := r.grown; g != nil {
		fmt.Fprintf(out, "\n### How time grows with the number of machines\n\n%s\n\n", g.title)
		if b.chart != "" {
			fmt.Fprintf(out, "![seconds until all machines have the image](spread.svg)\n\n")
		}
		fmt.Fprint(out, "| machines | image2ipfs s | docker-registry s | left the publisher | servers' CPU s |\n|---|---|---|---|---|\n")
		for i, n := range g.n {
			fmt.Fprintf(out, "| %d | %.1f | %.1f | %.2f images | %.1f |\n", n, g.ours[i], g.theirs[i], g.left[i], g.cpu[i])
		}
	}
	return out.String()
}

// said is what a command prints; empty when it fails.
func said(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).Output()
	return strings.TrimSpace(string(out))
}
