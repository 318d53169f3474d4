package p2p

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

const (
	// Records of providers live for a day or two; Kubo renews them after 22 hours.
	reprovideInterval = 22 * time.Hour
	// announceInterval is how often what is to be announced is listed again;
	// after a failure the pause doubles up to maxAnnouncePause.
	announceInterval = time.Minute
	maxAnnouncePause = time.Hour
	// emptyPause is how soon a DHT without peers is looked at again.
	emptyPause = 200 * time.Millisecond
	// announceTimeout bounds the announcement of one CID.
	announceTimeout = 2 * time.Minute
	// maxAnnouncing is how many CIDs are announced at once.
	maxAnnouncing = 4
)

// announceTo tells one router what list gives when it is new, and again before
// its record is too old.
func (n *Node) announceTo(r router, list func(ctx context.Context) ([]cid.Cid, error)) {
	known := told{}
	pause, failing := time.Duration(0), false
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(pause):
		}
		if r.empty() {
			pause = emptyPause
			continue
		}
		cids, err := list(n.ctx)
		if err == nil {
			err = n.announceDue(r, known.due(cids, time.Now()), known)
		}
		switch {
		case err == nil:
			pause, failing = announceInterval, false
		case n.ctx.Err() != nil:
			return
		default:
			if !failing {
				n.log.Warn("images are not announced; it is tried again", "to", r.name, "error", err)
			}
			pause, failing = min(max(2*pause, announceInterval), maxAnnouncePause), true
		}
	}
}

// announceDue announces cids, a few at once, until one fails.
func (n *Node) announceDue(r router, cids []cid.Cid, known told) error {
	for len(cids) > 0 {
		part := cids[:min(maxAnnouncing, len(cids))]
		cids = cids[len(part):]
		ctx, cancel := context.WithTimeout(n.ctx, announceTimeout)
		var g errgroup.Group
		for _, c := range part {
			g.Go(func() error { return r.Provide(ctx, c, true) })
		}
		err := g.Wait()
		cancel()
		if err != nil {
			return err
		}
		for _, c := range part {
			known[c] = time.Now()
			n.log.Debug("announced", "cid", c.String(), "to", r.name)
		}
	}
	return nil
}

// told says when a router was last told of a CID.
type told map[cid.Cid]time.Time

// due gives those of cids of which the router has to be told, and forgets all
// that are not in cids.
func (t told) due(cids []cid.Cid, now time.Time) []cid.Cid {
	var due []cid.Cid
	listed := make(map[cid.Cid]bool, len(cids))
	for _, c := range cids {
		if at, ok := t[c]; !listed[c] && (!ok || now.Sub(at) >= reprovideInterval) {
			due = append(due, c)
		}
		listed[c] = true
	}
	for c := range t {
		if !listed[c] {
			delete(t, c)
		}
	}
	return due
}
