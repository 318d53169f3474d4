package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// reader is what is served of a root: a layout, or a tree of an older version.
type reader interface {
	registry.Reader
	registry.Lister
	registry.Locator
	// Cost is roughly how many bytes of memory it takes.
	Cost() int64
}

// roots opens what lies under roots and keeps it: a root is a CID, so what is
// known of it never goes stale. What the own store had is asked for all the same
// whether it still has it, so that nothing is promised that was removed.
type roots struct {
	local    ipfs.Getter
	metadata ipfs.Getter
	old      *oldTrees
	opened   *budget.Cache[cid.Cid, reader]
	failed   *budget.Cache[rootQuestion, failure]
	opening  *flights[rootQuestion, reader]
	foreign  *foreign
	memory   *budget.Budget
}

// failure is remembered for a moment, so that a root that nobody has is not
// asked for again and again.
type failure struct {
	err   error
	until time.Time
}

const (
	failureMemory = 2 * time.Second
	// lookCost is about what looking for a root takes beside what is read of it: the
	// blocks of directories.
	lookCost = 256 << 10
)

func newRoots(life *lifetime, local, metadata ipfs.Getter, old *oldTrees, f *foreign, limits Limits, memory *budget.Budget) *roots {
	return &roots{
		local: local, metadata: metadata, old: old, foreign: f,
		opened:  budget.NewCache[cid.Cid, reader](limits.Layouts, 1, memory),
		failed:  budget.NewCache[rootQuestion, failure](1000, 1<<10, memory),
		opening: newFlights[rootQuestion, reader](life, limits.Open),
		memory:  memory,
	}
}

// open gives what is under root. Errors have the code NAME_UNKNOWN when there is
// nothing.
func (s *roots) open(ctx context.Context, root cid.Cid) (reader, error) {
	l, known := s.opened.Get(root)
	if _, foreign := l.(strangers); known && foreign {
		return l, nil
	}
	_, notHere := s.local.Get(ctx, root)
	if unsure := errors.Is(notHere, ipfs.ErrUnavailable); known && (notHere == nil || unsure && !s.foreign.isEmpty()) {
		return l, nil
	} else if known && unsure {
		return nil, absent(codeNameUnknown, notHere)
	}
	s.opened.Forget(root)
	q := rootQuestion{root, mayFetch(ctx)}
	if f, ok := s.failed.Get(q); ok && notHere != nil && time.Now().Before(f.until) {
		return nil, f.err
	}
	l, err := s.opening.join(ctx, q, func(ctx context.Context) (reader, error) {
		l, err := s.read(withRight(ctx, q.right), root, notHere != nil)
		if err == nil && notHere != nil {
			l = strangers{l, s.memory}
		}
		if err != nil {
			advice := ""
			if notHere != nil && isAbsent(err) {
				advice = s.foreign.advice(q.right)
			}
			err = absent(codeNameUnknown, fmt.Errorf("no image under %s: %w%s", ref.Ciq(root), err, advice))
			if !errors.Is(err, budget.ErrFull) && context.Cause(ctx) != errCut {
				s.failed.Put(q, failure{err, time.Now().Add(failureMemory)}, 1)
			}
			return nil, err
		}
		s.opened.Put(root, l, l.Cost())
		return l, nil
	}).wait(ctx)
	return l, absent(codeNameUnknown, err)
}

// recount charges for what a question has made l remember.
func (s *roots) recount(root cid.Cid, l reader) { s.opened.Weigh(root, l.Cost()) }

func (s *roots) read(ctx context.Context, root cid.Cid, foreign bool) (reader, error) {
	if foreign {
		release, err := s.memory.Looking.Take(ctx, lookCost)
		if err != nil {
			return nil, errorf(codeTooMany, "too many images are being looked up: try again: %w", err)
		}
		defer release()
		ctx = ipfs.WithRoom(ctx, manifestMemory{s.memory})
	}
	l, err := layout.Open(ctx, s.metadata, root)
	if errors.Is(err, ipfs.ErrNoLayout) {
		if old, oldErr := s.old.read(ctx, root); !isAbsent(oldErr) {
			return old, oldErr
		}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// strangers is what is served of a root that the own store does not have: what is
// read for questions about it is held within the share for strangers. Whoever
// published an image here waits for nobody.
type strangers struct {
	reader
	memory *budget.Budget
}

func (s strangers) bounded(ctx context.Context) context.Context {
	return ipfs.WithRoom(ctx, manifestMemory{s.memory})
}

func (s strangers) Resolve(ctx context.Context, name ref.Name) (ocispec.Descriptor, error) {
	return s.reader.Resolve(s.bounded(ctx), name)
}

func (s strangers) Manifest(ctx context.Context, d digest.Digest) (registry.Manifest, error) {
	return s.reader.Manifest(s.bounded(ctx), d)
}

func (s strangers) Referrers(ctx context.Context, d digest.Digest, artifactTypes ...string) ([]ocispec.Descriptor, error) {
	return s.reader.Referrers(s.bounded(ctx), d, artifactTypes...)
}

// manifestMemory is the share of manifests and indices.
type manifestMemory struct{ *budget.Budget }

func (m manifestMemory) Reading(ctx context.Context, n int64) (release func(), err error) {
	return m.Budget.Reading.Take(ctx, n)
}

func (m manifestMemory) Decoding(ctx context.Context, n int64) (release func(), err error) {
	return m.Budget.Decoding.Take(ctx, n)
}
