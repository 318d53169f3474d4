package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is a set of contenders and their costs, round by round.
type table struct {
	r          *report
	title      string
	prefix     string // of its verdicts
	keep       bool   // whether what is added counts
	names      []string
	costs      map[string][]cost
	notes      map[string]string
	unfinished map[string]time.Duration // the limit that was too short
}

func (r *report) table(title string) *table {
	t := &table{r: r, title: title, prefix: title + ": ", keep: true, costs: map[string][]cost{}, notes: map[string]string{}, unfinished: map[string]time.Duration{}}
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

// slow notes a contender that did not finish; it counts as if it had at the
// limit.
func (t *table) slow(name string, limit time.Duration) {
	if t.costs[name] == nil {
		t.names = append(t.names, name)
	}
	t.unfinished[name] = limit
}

// ratio compares wall times: the median of the rounds' ratios, in each of which
// both ran one behind the other.
func (t *table) ratio(what, ours string, atMost float64, others ...string) {
	var ratios, cpus []float64
	bound := false
	for i, c := range t.costs[ours] {
		var wall, cpu time.Duration
		for _, o := range others {
			switch limit, slow := t.unfinished[o]; {
			case slow:
				wall, cpu, bound = wall+limit, cpu+limit, true
			case i < len(t.costs[o]):
				wall, cpu = wall+t.costs[o][i].wall, cpu+t.costs[o][i].cpu
			default:
				return
			}
		}
		ratios, cpus = append(ratios, float64(c.wall)/float64(wall)), append(cpus, float64(c.cpu)/float64(cpu))
	}
	if len(ratios) == 0 {
		return
	}
	detail := fmt.Sprintf("rounds %.2f to %.2f, CPU time %.2f x", slices.Min(ratios), slices.Max(ratios), median(cpus))
	if bound {
		detail = "the other did not finish"
	}
	t.r.verdict(verdict{what: t.prefix + what, got: median(ratios), atMost: atMost, unit: "x", bound: bound, detail: detail})
}

// memory checks the largest memory in all rounds of these.
func (t *table) memory(what string, atMost int64, names ...string) {
	var most int64
	for _, name := range names {
		most = max(most, t.median(name).rss)
	}
	t.r.verdict(verdict{what: t.prefix + what, got: float64(most) / (1 << 20), atMost: float64(atMost) / (1 << 20), unit: "MiB"})
}

func (t *table) markdown() string {
	out := &strings.Builder{}
	fmt.Fprintf(out, "### %s\n\n| | wall s | rounds s | CPU s | peak memory MiB | temporary disk MiB | stored |\n|---|---|---|---|---|---|---|\n", t.title)
	for _, name := range t.names {
		if limit, slow := t.unfinished[name]; slow {
			fmt.Fprintf(out, "| %s | did not finish in %.0f s | | | | | |\n", name, limit.Seconds())
			continue
		}
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
