package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// result is what came of a crowd.
type result struct {
	took   []time.Duration // of each machine that did not die, sorted
	copies float64         // images that left the origin
}

// at is when such a share of the machines had the image, in seconds.
func (r result) at(share float64) float64 {
	if len(r.took) == 0 {
		return math.NaN()
	}
	return r.took[int(math.Ceil(share*float64(len(r.took))))-1].Seconds()
}

// site is a crowd in a network.
type site struct {
	crowd
	lab    *simnet.Lab
	random *rand.Rand
	origin *simnet.Machine
	files  []cid.Cid
	began  time.Time

	mu   sync.Mutex
	all  []*simnet.Machine // but the origin
	took []time.Duration
}

// maxPatience is how long a machine pulls again and again, as engines do.
const maxPatience = 10 * time.Minute

// run lets a crowd pull.
func (c crowd) run(t *testing.T) result {
	s := &site{crowd: c, lab: simnet.New(), random: rand.New(rand.NewPCG(c.seed, 0)), began: time.Now()}
	defer s.lab.Close()
	s.publish(t)
	for i := range c.machines {
		s.add(i)
	}
	for _, m := range s.all {
		s.join(m, s.all)
	}
	ctx, cancel := context.WithTimeout(t.Context(), maxPatience)
	defer cancel()
	var pulls sync.WaitGroup
	for i, m := range slices.Clone(s.all) {
		late := time.Duration(s.random.Float64() * float64(c.within))
		dies := time.Duration(math.MaxInt64)
		if s.random.Float64() < c.churn {
			dies = time.Duration(s.random.Float64() * 2 * float64(c.image) / c.uplink * float64(time.Second))
		}
		pulls.Go(func() {
			time.Sleep(late)
			if s.pull(ctx, t, m, dies) {
				return
			}
			time.Sleep(time.Second)
			s.pull(ctx, t, s.follow(c.machines+i), math.MaxInt64)
		})
	}
	pulls.Wait()
	slices.Sort(s.took)
	return result{s.took, float64(s.origin.Sent()) / float64(c.image)}
}

func (s *site) publish(t *testing.T) {
	s.origin = s.lab.Machine("origin", simnet.Rates{Up: s.uplink, Down: s.uplink}, exchange.Limits{})
	chacha := rand.NewChaCha8([32]byte{byte(s.seed)})
	data := make([]byte, s.image/s.layers)
	for range s.layers {
		_, _ = chacha.Read(data) // never fails
		c, err := s.origin.Publish(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, c)
	}
}

func (s *site) add(i int) *simnet.Machine {
	rate := s.link
	if s.random.Float64() < s.slow {
		rate /= 10
	}
	m := s.lab.Machine(fmt.Sprint("machine ", i), simnet.Rates{Up: rate, Down: rate}, exchange.Limits{})
	s.all = append(s.all, m)
	return m
}

// follow adds a machine while others pull.
func (s *site) follow(i int) *simnet.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := slices.Clone(s.all)
	m := s.add(i)
	s.join(m, before)
	return m
}

// maxOrigin is how many connections the origin takes, as nodes do.
const maxOrigin = 128

// join connects a machine with some of the others, and with the origin as long as
// that takes connections.
func (s *site) join(m *simnet.Machine, others []*simnet.Machine) {
	if s.origin.Connected() < maxOrigin {
		s.lab.Connect(m, s.origin)
	}
	for _, i := range s.random.Perm(len(others)) {
		if m.Connected() >= s.peers {
			return
		}
		if other := others[i]; other != m && other.Connected() < 2*s.peers {
			s.lab.Connect(m, other)
		}
	}
}

// pull has a machine pull until it has the image; false when it dies before.
func (s *site) pull(ctx context.Context, t *testing.T, m *simnet.Machine, dies time.Duration) bool {
	began := time.Now()
	life, cancel := context.WithTimeout(ctx, dies)
	defer cancel()
	for {
		err := m.Pull(life, s.files...)
		switch {
		case err == nil:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.took = append(s.took, time.Since(began))
			return true
		case ctx.Err() != nil:
			t.Errorf("%s has not got the image: %v", m.ID, err)
			return true
		case life.Err() != nil:
			m.Kill()
			return false
		}
		time.Sleep(time.Second)
	}
}
