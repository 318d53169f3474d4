package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// state is what is known of an image in the store.
type state int

const (
	gone  state = iota // never published, or reported removed
	maybe              // a publication or removal was cut off
	kept               // reported published
)

// trial is one store that is worked on and killed.
type trial struct {
	program.Program
	images   []image
	states   []state
	pushings []*pushing
	slow     slow
	registry registry
	choose   *rand.Rand
	disk     *disk // nil for an ordinary one
	server   *program.Server

	kills, rounds, collected, full, readOnly, pushed, slowly int
	during                                                   atomic.Int64 // pulls while others worked
}

func newTrial(p program.Program, images []image, choose *rand.Rand, d *disk) (*trial, error) {
	pushings, err := makePushings(choose)
	if err != nil {
		return nil, err
	}
	to, err := newRegistry()
	return &trial{Program: p, images: images, states: make([]state, len(images)), pushings: pushings, registry: to, choose: choose, disk: d}, err
}

// run works and kills until so many processes were killed, then removes
// everything.
func (t *trial) run(ctx context.Context, kills int) (err error) {
	begun := time.Now()
	if t.server, err = t.Serve(ctx, t.registry.args()...); err != nil {
		return err
	}
	defer func() { t.server.Kill() }()
	for t.kills < kills {
		if err := errors.Join(t.round(ctx), ctx.Err()); err != nil {
			return fmt.Errorf("round %d, after %d kills: %w\nthe server's log:\n%s", t.rounds, t.kills, err, t.Complaints())
		}
	}
	if err := t.clear(ctx); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	where := "ordinary disk"
	if t.disk != nil {
		where = fmt.Sprintf("small disk, full %d times, read-only %d times", t.full, t.readOnly)
	}
	fmt.Printf("crash: %s: %d kills in %d rounds, %d collections, %d images pushed, %d slow uploads, %d pulls meanwhile, nothing lost (%s)\n",
		where, t.kills, t.rounds, t.collected, t.pushed, t.slowly, t.during.Load(), time.Since(begun).Round(time.Second))
	return nil
}

// round starts some commands, kills all or one of them, or the server, and
// looks after what is left.
func (t *trial) round(ctx context.Context) error {
	t.rounds++
	jobs, pushes := t.plan(), t.planPushes()
	stop := t.pullMeanwhile(ctx, jobs)
	for _, j := range jobs {
		if err := j.start(); err != nil {
			return err
		}
	}
	t.startPushes(ctx, pushes)
	time.Sleep(t.moment())
	victims := jobs
	if t.choose.IntN(2) == 0 {
		victims = jobs[:1]
	}
	killed := t.choose.IntN(4) == 0 || len(pushes) > 0 && t.choose.IntN(3) == 0
	if killed {
		t.server.Kill()
		t.kills++
	}
	for _, j := range victims {
		j.kill()
	}
	var errs []error
	for _, j := range jobs {
		errs = append(errs, j.wait())
	}
	errs = append(errs, stop(), t.endPushes(pushes, killed))
	for _, j := range jobs {
		errs = append(errs, t.note(j))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !t.server.Alive() {
		if err := t.server.Start(ctx); err != nil {
			return err
		}
	}
	if err := t.checkPushes(ctx, killed); err != nil {
		return err
	}
	if killed {
		if err := t.slowIsGone(ctx); err != nil {
			return err
		}
	}
	if err := t.inspect(ctx); err != nil {
		return err
	}
	return t.slowRound(ctx)
}

// moment is when to kill: while a publication is most likely under way.
func (t *trial) moment() time.Duration {
	return time.Duration(t.choose.Int64N(int64(t.images[t.choose.IntN(len(t.images))].took) * 3 / 2))
}

// plan chooses one to four commands, each about an image of its own.
func (t *trial) plan() []*job {
	var jobs []*job
	for _, i := range t.choose.Perm(len(t.images))[:1+t.choose.IntN(3)] {
		m := t.images[i]
		if t.states[i] == gone || t.choose.IntN(3) > 0 {
			jobs = append(jobs, newJob(t.Program, i, "publish", "-q", "-r", "host", m.archive))
		} else {
			jobs = append(jobs, newJob(t.Program, i, "rm", m.root))
		}
	}
	for range t.choose.IntN(3) { // gc beside gc, too
		jobs = append(jobs, newJob(t.Program, -1, "gc", "-q"))
	}
	if j := jobs[0]; t.choose.IntN(4) == 0 && j.args[0] == "publish" { // two do the same
		jobs = append(jobs, newJob(t.Program, j.image, j.args...))
	}
	t.choose.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
	return jobs
}

// pullMeanwhile pulls what nobody touches while the jobs run: that must never
// fail for as long as the server lives. The function that it returns ends it.
func (t *trial) pullMeanwhile(ctx context.Context, jobs []*job) func() error {
	var safe []image
	for i, m := range t.images {
		touched := slices.ContainsFunc(jobs, func(j *job) bool { return j.image == i && j.args[0] == "rm" })
		if t.states[i] == kept && !touched {
			safe = append(safe, m)
		}
	}
	if len(safe) == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			if err = t.pull(ctx, safe[i%len(safe)]); err == nil {
				t.during.Add(1)
			}
		}
		failed <- err
	}()
	return func() error {
		cancel()
		err := <-failed
		if err == nil || errors.Is(err, context.Canceled) || !errors.Is(err, program.ErrWrongBytes) && !t.server.Alive() {
			return nil
		}
		return fmt.Errorf("pulling while others work: %w", err)
	}
}

// note draws conclusions from how a job has ended.
func (t *trial) note(j *job) error {
	if j.killed() {
		t.kills++
	}
	full := t.disk != nil && strings.Contains(j.stderr.String(), "no space left on device")
	if full {
		t.full++
	}
	if j.image < 0 {
		if j.killed() || j.err == nil || full {
			return nil
		}
		return j.failure()
	}
	before := t.states[j.image]
	switch done := j.stdout.Len() > 0; {
	case j.args[0] == "publish" && done:
		t.states[j.image] = kept
	case j.args[0] == "rm" && done:
		t.states[j.image] = gone
	case j.args[0] == "publish" && before == gone, j.args[0] == "rm" && before != gone:
		t.states[j.image] = maybe
	}
	lost := j.args[0] == "rm" && before != kept // it may have been gone already
	if j.killed() || j.err == nil || full || lost && j.cmd.ProcessState.ExitCode() == 3 {
		return nil
	}
	return j.failure()
}
