package kubo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// RecordKind is under which a records' store has those of what lies in Kubo.
const RecordKind = "kubo"

const (
	// holdPrefix marks the pins of what records keep: they are no published roots.
	holdPrefix = "image2ipfs-hold:"
	recordKind = RecordKind
	// holdLock is held by who changes pins together with records.
	holdLock = "pins of kubo"
	// sweepPause is after which pins are looked for whose records are over.
	sweepPause = time.Hour
	// pinsOnce are the roots of one CAR: its header names them all.
	pinsOnce = 16
)

// Recorder is a Kubo whose contents are kept by records, too: each is pinned in Kubo
// under a name of its own, and lies in another store, since Kubo has no place for
// values. It implements [ipfs.Recorder].
type Recorder struct {
	*Store
	records ipfs.Recorder

	mu    sync.Mutex
	swept time.Time
}

var _ ipfs.Recorder = (*Recorder)(nil)

// Recorder gives e with records that lie in another store.
func (e *Store) Recorder(records ipfs.Recorder) *Recorder {
	return &Recorder{Store: e, records: records}
}

// held is the value of a record in the store of records.
type held struct {
	CID   cid.Cid         `json:"cid"`
	Value json.RawMessage `json:"value,omitempty"`
}

// marker is what the store of records keeps for each of them in place of what lies in
// Kubo.
var marker = []byte("what this record names lies in Kubo\n")

func markerCID() (cid.Cid, error) {
	return cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(marker)
}

func wrapped(k ipfs.Key) ipfs.Key {
	return ipfs.Key{Kind: recordKind, Space: k.Kind + " " + k.Space, Name: k.Name}
}

func unwrap(r ipfs.Record) (ipfs.Record, error) {
	var h held
	err := jsontext.Unmarshal(r.Value, &h)
	if err == nil && !h.CID.Defined() {
		err = errors.New("it has no CID")
	}
	kind, space, _ := strings.Cut(r.Space, " ")
	key := ipfs.Key{Kind: kind, Space: space, Name: r.Name}
	if err != nil {
		return ipfs.Record{}, fmt.Errorf("%w: record of %s %q of %q in Kubo: %v", ipfs.ErrCorrupt, key.Kind, key.Name, key.Space, err)
	}
	return ipfs.Record{Key: key, CID: h.CID, Until: r.Until, Value: h.Value}, nil
}

// Record implements [ipfs.Recorder].
func (r *Recorder) Record(ctx context.Context, k ipfs.Key) (ipfs.Record, error) {
	found, err := r.records.Record(ctx, wrapped(k))
	if err != nil {
		return ipfs.Record{}, err
	}
	return unwrap(found)
}

// Records implements [ipfs.Recorder].
func (r *Recorder) Records(ctx context.Context, kind, space string) ([]ipfs.Record, error) {
	return r.unwrapped(ctx, kind+" "+space)
}

func (r *Recorder) unwrapped(ctx context.Context, space string) (all []ipfs.Record, err error) {
	found, err := r.records.Records(ctx, recordKind, space)
	for _, f := range found {
		one, failed := unwrap(f)
		if failed != nil {
			return all, errors.Join(err, failed)
		}
		all = append(all, one)
	}
	return all, err
}

// Spaces implements [ipfs.Recorder].
func (r *Recorder) Spaces(ctx context.Context, kind string) (spaces []string, err error) {
	all, err := r.records.Spaces(ctx, recordKind)
	for _, s := range all {
		if of, space, _ := strings.Cut(s, " "); of == kind {
			spaces = append(spaces, space)
		}
	}
	return spaces, err
}

// LockSpace implements [ipfs.Recorder].
func (r *Recorder) LockSpace(ctx context.Context, space string) (unlock func() error, err error) {
	return r.records.LockSpace(ctx, recordKind+" "+space)
}

// Forget implements [ipfs.Recorder].
func (r *Recorder) Forget(ctx context.Context, keys ...ipfs.Key) (err error) {
	unlock, err := r.records.LockSpace(ctx, holdLock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return r.forget(ctx, keys)
}

// forget is Forget by who holds the lock of pins.
func (r *Recorder) forget(ctx context.Context, keys []ipfs.Key) error {
	var own []ipfs.Key
	freed := map[cid.Cid]bool{}
	for _, k := range keys {
		own = append(own, wrapped(k))
		found, err := r.Record(ctx, k)
		if err == nil {
			freed[found.CID] = true
		} else if !errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrCorrupt) {
			return err
		}
	}
	if err := r.records.Forget(ctx, own...); err != nil || len(freed) == 0 {
		return err
	}
	return r.release(ctx, func(c cid.Cid) bool { return freed[c] })
}

// release unpins what no record keeps, of that which may go. The caller holds the lock
// of pins.
func (r *Recorder) release(ctx context.Context, may func(cid.Cid) bool) error {
	needed := map[cid.Cid]bool{}
	spaces, err := r.records.Spaces(ctx, recordKind)
	if err != nil {
		return err
	}
	for _, space := range spaces {
		all, err := r.unwrapped(ctx, space)
		if err != nil {
			return err // one that cannot be read may keep anything
		}
		for _, one := range all {
			needed[one.CID] = true
		}
	}
	pins, err := r.pins(ctx)
	if err != nil {
		return fmt.Errorf("listing pins: %w", err)
	}
	for _, p := range pins {
		if !strings.HasPrefix(p.name, holdPrefix) || needed[p.cid] || !may(p.cid) {
			continue
		}
		if err := r.unpin(ctx, p.cid); err != nil && !errors.Is(err, ipfs.ErrNotFound) {
			return fmt.Errorf("unpinning %s: %w", p.cid, err)
		}
	}
	return nil
}

// BeginRecords implements [ipfs.Recorder].
func (r *Recorder) BeginRecords(ctx context.Context) (ipfs.RecordTx, error) {
	t, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &recordTx{t, r}, nil
}

type recordTx struct {
	*tx
	r *Recorder
}

// CommitRecords implements [ipfs.RecordTx]. What is pinned and has no record yet, since
// somebody was cut off here, goes with the next look at what records are over.
func (t *recordTx) CommitRecords(ctx context.Context, roots []ipfs.Root, records ...ipfs.Record) (ipfs.Stats, error) {
	return t.CommitRevised(ctx, nil, roots, records...)
}

// CommitRevised implements [ipfs.RecordTx].
func (t *recordTx) CommitRevised(ctx context.Context, revise func(is, was ipfs.Record) ipfs.Record, roots []ipfs.Root, records ...ipfs.Record) (stats ipfs.Stats, err error) {
	stats = ipfs.Stats{NewBlocks: -1, NewBytes: -1}
	if t.ended {
		return stats, errEnded
	}
	if len(roots)+len(records) == 0 {
		return stats, errors.Join(errors.New("nothing to publish: neither a root nor records"), t.Abort())
	}
	defer t.within(ctx)()
	unlock, err := t.r.records.LockSpace(ctx, holdLock)
	if err != nil {
		return stats, errors.Join(err, t.Abort())
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := t.pinAll(ctx, roots, records); err != nil {
		return stats, err
	}
	if err := t.r.write(ctx, t.r.revised(ctx, revise, records)); err != nil {
		return stats, err
	}
	return stats, t.r.sweep(ctx)
}

// pinAll ends the import and pins what is to be kept, under the names of roots or of
// records.
func (t *recordTx) pinAll(ctx context.Context, roots []ipfs.Root, records []ipfs.Record) error {
	pins, err := t.e.pins(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("listing pins: %w", err), t.Abort())
	}
	before := map[cid.Cid]string{}
	for _, p := range pins {
		before[p.cid] = p.name
	}
	var lacking []cid.Cid
	names := map[cid.Cid]string{}
	add := func(c cid.Cid, name string) {
		if _, pinned := before[c]; !pinned && !slices.Contains(lacking, c) {
			lacking = append(lacking, c)
			names[c] = name
		}
	}
	for _, root := range roots {
		add(root.CID, "") // named below
	}
	for _, r := range records {
		add(r.CID, holdName(r.Key))
	}
	for some := range slices.Chunk(lacking, pinsOnce) {
		if err := t.part("roots.car", some...); err != nil {
			return err
		}
	}
	if err := t.finish("what was pushed", lacking...); err != nil {
		for _, c := range lacking { // the answer may have been lost after the pins were made
			err = errors.Join(err, t.e.undo(ctx, c))
		}
		return err
	}
	for _, root := range roots {
		name, existed := before[root.CID]
		if err := t.e.name(ctx, root, name, existed); err != nil {
			return err
		}
	}
	for c, name := range names {
		if name == "" {
			continue
		}
		if err := t.e.exec(ctx, t.e.shell.Request("pin/add", c.String()).Option("name", name).Option("offline", true)); err != nil {
			return errors.Join(fmt.Errorf("naming the pin of %s: %w", c, err), t.e.undo(ctx, c))
		}
	}
	return nil
}

// holdName is the name of a record's pin.
func holdName(k ipfs.Key) string {
	name := holdPrefix + k.Kind + " " + k.Space + " " + k.Name
	return strings.ToValidUTF8(name[:min(len(name), maxPinName)], "")
}

// write puts records into their store.
func (r *Recorder) write(ctx context.Context, records []ipfs.Record) error {
	if len(records) == 0 {
		return nil
	}
	c, err := markerCID()
	if err != nil {
		return err
	}
	var own []ipfs.Record
	for _, one := range records {
		value, err := json.Marshal(held{one.CID, one.Value})
		if err != nil {
			return err
		}
		own = append(own, ipfs.Record{Key: wrapped(one.Key), CID: c, Until: one.Until, Value: value})
	}
	tx, err := r.records.BeginRecords(ctx)
	if err != nil {
		return err
	}
	if err := tx.Put(ctx, c, marker); err != nil {
		return errors.Join(err, tx.Abort())
	}
	_, err = tx.CommitRecords(ctx, nil, own...)
	return err
}

// sweep unpins, now and then, what records kept that are over. The caller holds the
// lock of pins.
func (r *Recorder) sweep(ctx context.Context) error {
	r.mu.Lock()
	due := time.Since(r.swept) > sweepPause
	if due {
		r.swept = time.Now()
	}
	r.mu.Unlock()
	if !due {
		return nil
	}
	return r.release(ctx, func(cid.Cid) bool { return true })
}
