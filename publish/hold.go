package publish

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	kindFetched = "fetched"      // of records that keep what was fetched for a publication
	fetchedFor  = 24 * time.Hour // and are no longer needed when it is done
)

// hold implements sink, in a store that has records: each content is a transaction of
// its own, which the store remembers and keeps for a day. Not even a process that is
// killed has to fetch it again.
func (s *storeSink) hold(ctx context.Context, d digest.Digest, add func(adder) (stored, error)) error {
	r, ok := s.store.(ipfs.Recorder)
	if !ok {
		_, err := add(s)
		return err
	}
	tx, err := r.BeginRecords(ctx)
	if err != nil {
		return ofStore(err)
	}
	own := &storeSink{tx: tx}
	content, err := add(own)
	if err != nil {
		return errors.Join(err, tx.Abort())
	}
	own.remember(blobKey(d), ipfs.Known{Link: content.Link, Digest: d})
	stats, err := tx.CommitRecords(ctx, nil, ipfs.Record{
		Key: ipfs.Key{Kind: kindFetched, Name: d.String()}, CID: content.CID, Until: now().Add(fetchedFor),
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = sum(s.held, stats)
	return ofStore(err)
}

// release ends the keeping of what is part of a publication now, and adds what was
// stored of it before. A record that stays ends by itself.
func (s *storeSink) release(ctx context.Context, files map[string]stored, stats ipfs.Stats) ipfs.Stats {
	r, ok := s.store.(ipfs.Recorder)
	if !ok {
		return stats
	}
	published := map[cid.Cid]bool{}
	for _, f := range files {
		published[f.CID] = true
	}
	var over []ipfs.Key
	records, _ := r.Records(ctx, kindFetched, "")
	for _, record := range records {
		if published[record.CID] {
			over = append(over, record.Key)
		}
	}
	if len(over) > 0 {
		_ = r.Forget(ctx, over...)
	}
	return sum(s.held, stats)
}

func sum(a, b ipfs.Stats) ipfs.Stats {
	return ipfs.Stats{NewBlocks: a.NewBlocks + b.NewBlocks, NewBytes: a.NewBytes + b.NewBytes, HealedBlocks: a.HealedBlocks + b.HealedBlocks}
}
