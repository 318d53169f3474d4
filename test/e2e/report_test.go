//go:build e2e

// What was really pulled, and what was not.

package e2e

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// results collects what the tests found, for the table at the end.
var results = report{
	versions: map[string]string{}, left: map[string]string{}, roots: map[string]string{},
	cells: map[cell]bool{}, began: time.Now(),
}

type report struct {
	mu       sync.Mutex
	began    time.Time
	versions map[string]string
	left     map[string]string
	roots    map[string]string
	cells    map[cell]bool // whether all pulls were right
}

type cell struct{ archive, engine, mode string }

// progress tells whoever waits how far the tests are.
func (r *report) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "e2e: %4.0f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// version notes which version of an engine took part.
func (r *report) version(engine, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[engine] = version
}

// leaveOut notes what was not tested, and why.
func (r *report) leaveOut(what, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[what] = why
}

// sameRoot fails the test if an archive had another root in another mode.
func (r *report) sameRoot(t *testing.T, archive, ciq string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if had := r.roots[archive]; had != "" && had != ciq {
		t.Errorf("%s: root %s here, %s in another mode", archive, ciq, had)
	}
	r.roots[archive] = ciq
}

// pulled notes a pull; one that failed spoils its cell.
func (r *report) pulled(m mode, engine, archive string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := cell{archive, engine, m.letter}
	before, known := r.cells[c]
	r.cells[c] = ok && (before || !known)
}

// print writes the table.
func (r *report) print(w io.Writer) {
	fmt.Fprintln(w, "\nPulled, compared with the source, and pulled again after a restart of the server:")
	for _, m := range append(slices.Clone(modes), native) {
		fmt.Fprintf(w, "  %s  %s\n", m.letter, m.name)
	}
	fmt.Fprint(w, "  !  failed   .  not tried\n\n")
	for _, name := range append(engineNames, "kubo") {
		if r.versions[name] != "" {
			fmt.Fprintf(w, "  %-13s %s\n", name, r.versions[name])
		}
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  archive\t"+strings.Join(engineNames, "\t"))
	for _, a := range archives {
		fmt.Fprint(table, "  ", a.title())
		for _, e := range engineNames {
			fmt.Fprint(table, "\t", r.letters(a.title(), e))
		}
		fmt.Fprintln(table)
	}
	table.Flush()
	var left []string
	for what, why := range r.left {
		left = append(left, fmt.Sprintf("  %s: %s", what, why))
	}
	sort.Strings(left)
	if len(left) > 0 {
		fmt.Fprintln(w, "\nLeft out:\n"+strings.Join(slices.Compact(left), "\n"))
	}
}

// letters is the content of a cell: a letter per mode.
func (r *report) letters(archive, engine string) string {
	var text strings.Builder
	for _, m := range append(slices.Clone(modes), native) {
		switch ok, tried := r.cells[cell{archive, engine, m.letter}]; {
		case !tried:
			text.WriteString(".")
		case ok:
			text.WriteString(m.letter)
		default:
			text.WriteString("!")
		}
	}
	return text.String()
}
