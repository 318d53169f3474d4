//go:build e2e

// States in which users were, each made with the real engine: what doctor says of it
// is true, and who follows its advice gets further, never back to the same advice.

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// state is one of them.
type state struct {
	name, kind, engine string
	short              bool // tried by `make test`, too
	// enter brings the engine into it.
	enter func(t *testing.T, w *ward)
	// says is a part of what doctor finds, next of what it advises first.
	says, next string
	// byHand does what an advice says in words; advice that is a command is run.
	byHand func(t *testing.T, w *ward, advice string)
	args   []string // further ones of doctor
	// settled waits until what was advised has had its effect, where that takes a
	// while.
	settled func(t *testing.T, w *ward)
}

// ward is an engine in a box that doctor looks at, and the server for it.
type ward struct {
	*box
	l *local
}

// finding is one of doctor's checks.
type finding struct{ Check, Status, Detail, Next string }

// TestDoctorAdvice is followed until doctor is content.
func TestDoctorAdvice(t *testing.T) {
	l := startLocal(t)
	for _, s := range slices.Concat(states, clusterStates) {
		if !thorough() && !s.short {
			continue
		}
		t.Run(s.kind+": "+s.name, func(t *testing.T) { s.try(t, &ward{newBox(t, kindOfEngine(s.kind), s.engine, l), l}) })
	}
	if !thorough() {
		results.leaveOut("doctor: most states of engines", "make test-all makes them")
	}
}

// kindOfEngine is the engine behind a kind that setup knows.
func kindOfEngine(kind string) string {
	switch kind {
	case "k3s", "rke2", "microk8s", "k0s":
		return "containerd"
	}
	return kind
}

func (s state) try(t *testing.T, w *ward) {
	s.enter(t, w)
	advised := map[string]bool{}
	for i := 0; ; i++ {
		problem := w.doctor(t, s)
		switch {
		case problem == nil && i > 0:
			return
		case problem == nil:
			t.Fatal("doctor finds nothing")
		case i == 0 && (!strings.Contains(problem.Detail, s.says) || !strings.Contains(problem.Next, s.next)):
			t.Fatalf("doctor says\n%+v,\nexpected %q and %q", *problem, s.says, s.next)
		case advised[problem.Next]:
			t.Fatalf("doctor's advice led back to itself: %+v", *problem)
		}
		t.Logf("%s: %s -> %s", problem.Check, problem.Detail, problem.Next)
		advised[problem.Next] = true
		s.follow(t, w, problem.Next)
		if s.settled != nil {
			s.settled(t, w)
		}
	}
}

// follow does what is advised: a command, or the command behind words.
func (s state) follow(t *testing.T, w *ward, advice string) {
	t.Helper()
	_, behind, _ := strings.Cut(advice, ", then ")
	switch {
	case strings.HasPrefix(advice, "image2ipfs ") || strings.HasPrefix(advice, "sudo "):
		w.must(t, "cd "+w.inner("home")+" && "+advice)
	case s.byHand != nil:
		s.byHand(t, w, advice)
	case strings.HasPrefix(behind, "sudo "):
		w.must(t, behind)
	default:
		t.Fatalf("the test does not know how to follow %q", advice)
	}
}

// doctor gives the first problem that doctor finds, nil for none.
func (w *ward) doctor(t *testing.T, s state) *finding {
	t.Helper()
	args := append([]string{"doctor", s.kind, "--json", "--server", w.l.url()}, s.args...)
	if s.kind == "podman" {
		args = append(args, "--podman", strings.Join(w.podmanArgs(), " "))
	}
	return firstProblem(t, w.run("image2ipfs"), args...)
}

// firstProblem runs doctor and gives the first problem that it finds.
func firstProblem(t *testing.T, c command, args ...string) *finding {
	t.Helper()
	var found struct {
		OK     bool
		Checks []finding
	}
	var problem *finding
	eventually(t, "CRI after its start", func() error {
		out, failed := c.output(deadline(t), args...)
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatalf("doctor: %v, %s", failed, out)
		}
		problem = nil
		for _, f := range found.Checks {
			if strings.Contains(f.Detail, "server is not initialized yet") {
				return fmt.Errorf("%+v", f)
			}
			if f.Status == "problem" && problem == nil {
				problem = &f
			}
		}
		if found.OK != (problem == nil) || found.OK != (failed == nil) {
			t.Errorf("doctor: ok is %v, and it ended with %v: %s", found.OK, failed, out)
		}
		return nil
	})
	return problem
}
