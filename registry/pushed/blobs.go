package pushed

import (
	"context"
	"errors"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Who uploads a blob waits for nobody's lock of the repository, so the end of its record
// is decided while nobody else commits: an upload gives none back to a blob that a
// manifest needs by then, and a manifest that goes leaves what was promised to uploads.

// keepBlob ends a transaction with the record of a blob that came by itself.
func (g *Registry) keepBlob(ctx context.Context, tx ipfs.RecordTx, key ipfs.Key, l link) error {
	r, err := record(key, l.CID, now().Add(Alone), blobValue{link: l})
	if err != nil {
		return errors.Join(err, tx.Abort())
	}
	stats, err := tx.CommitRevised(ctx, both, nil, r)
	if err == nil {
		g.arrived.add(key, stats.NewBytes)
	}
	return err
}

// both is the record of a blob, by a manifest that needs it or without an end, beside the
// one that was there. Of other kinds it is the record itself.
func both(is, was ipfs.Record) ipfs.Record {
	if is.Kind != kindBlob {
		return is
	}
	v, err := value[blobValue](is)
	if err != nil {
		return is
	}
	before, err := value[blobValue](was)
	needed := err != nil || was.Until.IsZero() // what a damaged record said nobody knows
	switch {
	case is.Until.IsZero():
		v.Promised = before.Promised
	case needed:
		v.Promised, is.Until = is.Until, noEnd
	default: // the manifests of two are to come
		if is.Until.Before(was.Until) {
			is.Until = was.Until
		}
		v.Promised = is.Until
	}
	if v.Promised.Before(now()) {
		v.Promised = time.Time{}
	}
	if r, err := record(is.Key, is.CID, is.Until, v); err == nil {
		return r
	}
	return is
}

// release ends the keeping of blobs that no manifest needs any more: those that were
// promised to others, and with grace all, stay for a day at most. The caller has locked
// the repository.
func (g *Registry) release(ctx context.Context, grace time.Duration, keys ...ipfs.Key) error {
	if len(keys) == 0 {
		return nil
	}
	return g.store.Revise(ctx, keys, func(r ipfs.Record) (ipfs.Record, bool) {
		if !r.Until.IsZero() { // nobody needed it
			return r, true
		}
		var v blobValue
		_ = jsontext.Unmarshal(r.Value, &v) // what is damaged promises nothing
		until := now().Add(grace)
		if until.Before(v.Promised) {
			until = v.Promised
		}
		v.Promised = time.Time{}
		r, err := record(r.Key, r.CID, until, v)
		return r, err == nil && until.After(now())
	})
}
