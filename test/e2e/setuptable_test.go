//go:build e2e

// What worked before setup works after it, and all is as it was after the undo: each
// configuration with each engine that reads it, with an ordinary pull and one of a
// ciq… name before, after, and after the undo.

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// kinds are the engines of each kind that setup knows, the newest first.
var kinds = map[string][]string{
	"docker": {"dockerd28", "dockerd20"}, "containerd": {"containerd2", "containerd16"}, "podman": {"podman5", "podman"},
}

// TestSetupTable takes minutes, so that `make test` tries the first configuration of
// each kind with the newest engine.
func TestSetupTable(t *testing.T) {
	l := startLocal(t)
	standIn := startStandIn(t, l.upstream)
	if !thorough() {
		results.leaveOut("setup: all but one configuration of each kind of engine", "make test-all tries them")
	}
	for i, s := range settings {
		first := i == 0 || settings[i-1].kind != s.kind
		for j, engine := range kinds[s.kind] {
			if !thorough() && (!first || j > 0) || len(s.engines) > 0 && !slices.Contains(s.engines, engine) {
				continue
			}
			t.Run(s.kind+": "+s.name+", "+engine, func(t *testing.T) { s.try(t, l, standIn, engine) })
		}
	}
}

// configured is an engine with a configuration of its own.
type configured interface {
	start(t *testing.T)
	// ready waits until it has read its files.
	ready(t *testing.T)
	// ordinary pulls a name of docker.io, ciq a published one, and both remove it.
	ordinary(t *testing.T) error
	ciq(t *testing.T) error
}

// trial is a configuration with an engine that reads it.
type trial struct {
	setting
	box     *box
	engine  configured
	l       *local
	standIn *standIn
}

func (s setting) try(t *testing.T, l *local, standIn *standIn, name string) {
	b := newBox(t, s.kind, name, l)
	s.configure(t, b, standIn)
	r := trial{setting: s, box: b, l: l, standIn: standIn, engine: b.engine(t, l, s.kind, name)}
	r.engine.start(t)
	files := b.state(t)
	r.step(t, "before", false)
	if s.refused != "" {
		if _, err := r.setup(t); err == nil || !strings.Contains(err.Error(), s.refused) {
			t.Errorf("setup: %v, expected it to refuse with %q", err, s.refused)
		}
		r.unchanged(t, files)
		return
	}
	r.change(t)
	if again, err := r.setup(t); err != nil || again.Written {
		t.Errorf("setup once more: %+v, %v; expected nothing to do", again, err)
	}
	r.step(t, "after setup", true)
	r.change(t, "--undo")
	r.unchanged(t, files)
	r.step(t, "after the undo", false)
	results.progress("setup: %s, %s: right: %v", s.name, name, !t.Failed())
}

// unchanged compares the files with those of before.
func (r trial) unchanged(t *testing.T, before map[string]string) {
	t.Helper()
	after := r.box.state(t)
	for path := range merged(before, after) {
		if before[path] != after[path] {
			t.Errorf("%s was %q and is %q", path, before[path], after[path])
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// step has the engine pull both names.
func (r trial) step(t *testing.T, when string, ciq bool) {
	t.Helper()
	r.engine.ready(t)
	r.standIn.since()
	if err := r.engine.ordinary(t); err != nil {
		t.Fatalf("%s: an ordinary name: %v", when, err)
	}
	if asked := r.standIn.since(); asked != r.asks {
		t.Errorf("%s: an ordinary name came from %q, expected %s", when, asked, r.asks)
	}
	if err := r.engine.ciq(t); (err == nil) != ciq {
		t.Errorf("%s: a name with a CID: %v, expected it to be pulled: %v", when, err, ciq)
	}
}

// change runs setup and does what it says is to be done next.
func (r trial) change(t *testing.T, args ...string) {
	t.Helper()
	plan, err := r.setup(t, args...)
	if err != nil || !plan.Written {
		t.Fatalf("setup %v: %+v, %v", args, plan, err)
	}
	for _, next := range plan.Next {
		r.box.must(t, next)
	}
}

// planned is what setup says of what it has done.
type planned struct {
	Written bool
	Next    []string
}

// setup runs `image2ipfs setup` where the engine's files and programs are.
func (r trial) setup(t *testing.T, args ...string) (plan planned, err error) {
	t.Helper()
	args = append([]string{"setup", r.kind, "--server", r.l.url(), "--yes", "--json"}, args...)
	out, err := r.box.run("image2ipfs").output(deadline(t), args...)
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		return plan, fmt.Errorf("%s: %w", out, err)
	}
	return plan, nil
}
