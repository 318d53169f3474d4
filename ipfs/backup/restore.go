package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

const (
	// maxSection is the longest section that is read, in bytes: a store's largest block,
	// and a little.
	maxSection = 8<<20 + 1<<10
	// maxContents is how many bytes may say what is kept: some million records.
	maxContents = 1 << 30
	// packSize is after how many bytes a store begins another pack: gc takes one away, or
	// writes it anew, as a whole.
	packSize = 512 << 20
)

// Restored is what a backup brought.
type Restored struct {
	Stats
	Contents Contents
	Roots    []ipfs.Root   // that are kept now
	Records  int           // that are kept now
	Left     []ipfs.Record // that stay as they are: something else is there by their key
	Stored   ipfs.Stats
}

// Read brings a backup into a store: each block is checked, all must be there, and all is
// kept at one stroke, at the end; after an error the store is as it was. What the store has
// stays: an image keeps its names, and a record that is there already is left, unless o says
// otherwise. Errors match [ErrFormat] for what is no backup or not whole, or are those of r
// and of the store.
func Read(ctx context.Context, r io.Reader, to ipfs.Recorder, o Options) (done Restored, err error) {
	in, err := open(ctx, r)
	if err != nil {
		return done, err
	}
	done.Contents = in.contents
	tx, err := to.BeginRecords(ctx)
	if err != nil {
		return done, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Abort())
		}
	}()
	if done.Stats, err = in.copy(ctx, tx, o); err != nil {
		return done, err
	}
	known, err := to.Roots(ctx)
	if err != nil {
		return done, err
	}
	done.Roots = merged(in.contents.Roots, known)
	unlock, err := lock(ctx, to, in.contents.Records)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	var records []ipfs.Record
	if records, done.Left, err = chosen(ctx, to, in.contents.Records, o.Replace); err != nil {
		return done, err
	}
	if done.Records = len(records); len(done.Roots)+len(records) == 0 {
		return done, tx.Abort()
	}
	done.Stored, err = tx.CommitRecords(ctx, done.Roots, records...)
	return done, err
}

// merged are roots as they are to be kept: when one was published that is there already,
// and how large it is, the store knows.
func merged(roots, known []ipfs.Root) []ipfs.Root {
	roots = slices.Clone(roots)
	for i, r := range roots {
		if k := slices.IndexFunc(known, func(k ipfs.Root) bool { return keyOf(k.CID) == keyOf(r.CID) }); k >= 0 {
			roots[i].Published, roots[i].Size = known[k].Published, known[k].Size
		}
	}
	return roots
}

// lock has nobody else change records of the repositories that a backup has, until unlock.
// Those who change them lock one; here they are locked in their order.
func lock(ctx context.Context, to ipfs.Recorder, records []ipfs.Record) (unlock func() error, err error) {
	var spaces []string
	for _, r := range records {
		repository, _, _ := strings.Cut(r.Space, "@") // referrers have a space of their own
		spaces = append(spaces, repository)
	}
	slices.Sort(spaces)
	var held []func() error
	unlock = func() (err error) {
		for _, one := range slices.Backward(held) {
			err = errors.Join(err, one())
		}
		return err
	}
	for _, space := range slices.Compact(spaces) {
		one, err := to.LockSpace(ctx, space)
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		held = append(held, one)
	}
	return unlock, nil
}

// chosen are the records that are to be kept, and those that are left.
func chosen(ctx context.Context, to ipfs.Recorder, all []ipfs.Record, replace bool) (take, left []ipfs.Record, err error) {
	for _, r := range all {
		if !r.Until.IsZero() && r.Until.Before(time.Now()) {
			continue
		}
		old, err := to.Record(ctx, r.Key)
		switch {
		case errors.Is(err, ipfs.ErrNotFound):
			take = append(take, r)
		case err != nil:
			return nil, nil, err
		case replace && !same(old, r):
			if lasts(old, r) { // what the store has needs it for as long as that
				r.Until = old.Until
			}
			take = append(take, r)
		case old.CID != r.CID:
			left = append(left, r)
		case lasts(r, old):
			take = append(take, r)
		}
	}
	// What is found by another comes before it: cut off in between, the store has what it names.
	order := map[string]int{"blob": 1, "manifest": 2, "referrer": 3, "beside": 4, "tag": 5}
	slices.SortStableFunc(take, func(a, b ipfs.Record) int {
		return cmp.Or(cmp.Compare(order[a.Kind], order[b.Kind]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Space, b.Space))
	})
	return take, left, nil
}

// same tells whether two records say the same, for however long.
func same(a, b ipfs.Record) bool {
	var of [2]bytes.Buffer
	for i, v := range [][]byte{a.Value, b.Value} {
		if len(v) > 0 && json.Compact(&of[i], v) != nil {
			return false
		}
	}
	return a.CID == b.CID && bytes.Equal(of[0].Bytes(), of[1].Bytes())
}

// lasts tells whether a record ends later than another.
func lasts(a, than ipfs.Record) bool {
	return !than.Until.IsZero() && (a.Until.IsZero() || a.Until.After(than.Until))
}

// input is a backup that is being read.
type input struct {
	r        *car.Reader
	contents Contents
}

// open reads what a backup says that it has.
func open(ctx context.Context, r io.Reader) (*input, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	if _, err := buffered.Peek(1); err == io.EOF {
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	}
	reader, err := car.NewReader(buffered, maxSection)
	if err != nil {
		return nil, readError(err)
	}
	roots, err := reader.Roots()
	if err != nil || len(roots) != 1 {
		return nil, fmt.Errorf("%w: it is no CAR with one root", ErrFormat)
	}
	in := &input{r: reader}
	file := &blocks{of: map[string][]byte{}}
	if err := in.follow(ctx, roots, func(c cid.Cid, data []byte) error {
		if file.bytes+int64(len(data)) > maxContents {
			return fmt.Errorf("%w: what it says that it has is longer than %d bytes", ErrFormat, maxContents)
		}
		return file.Put(ctx, c, data)
	}, false); err != nil {
		return nil, err
	}
	text, err := ipfs.ReadFile(ctx, file, roots[0], maxContents)
	if err != nil || json.Unmarshal(text, &in.contents) != nil || in.contents.Format != format {
		return nil, fmt.Errorf("%w: its root %s is no list of what it has; a CAR of an image comes with image2ipfs publish or pin add", ErrFormat, roots[0])
	}
	if in.contents.Version != version {
		return nil, fmt.Errorf("%w: it is of version %d, and this program reads %d: a newer image2ipfs has made it", ErrFormat, in.contents.Version, version)
	}
	for _, r := range in.contents.Roots {
		if !r.CID.Defined() {
			return nil, fmt.Errorf("%w: an image in its list has no CID", ErrFormat)
		}
	}
	for _, r := range in.contents.Records {
		if !r.CID.Defined() {
			return nil, fmt.Errorf("%w: the record of %s %q of %q in its list has no CID", ErrFormat, r.Kind, r.Name, r.Space)
		}
	}
	return in, nil
}

// copy puts all blocks into a transaction.
func (in *input) copy(ctx context.Context, tx ipfs.Tx, o Options) (s Stats, err error) {
	var tops []cid.Cid
	for _, r := range in.contents.Roots {
		tops = append(tops, r.CID)
	}
	for _, r := range in.contents.Records {
		tops = append(tops, r.CID)
	}
	var to ipfs.Putter
	room := int64(0)
	err = in.follow(ctx, tops, func(c cid.Cid, data []byte) error {
		if room -= int64(len(data)); to == nil || room < 0 {
			branch, err := tx.Branch()
			if err != nil {
				return err
			}
			to, room = branch, packSize
		}
		s.Blocks++
		s.Bytes += int64(len(data))
		o.progress(len(data))
		return to.Put(ctx, c, data)
	}, true)
	return s, err
}

// follow reads the blocks that tops need, each checked, and calls fn for each; with toEnd
// that is all that there is. Every block must be needed, and all that are must be there.
func (in *input) follow(ctx context.Context, tops []cid.Cid, fn func(c cid.Cid, data []byte) error, toEnd bool) error {
	wanted, had := map[string]cid.Cid{}, map[string]bool{}
	want := func(c cid.Cid) {
		if !had[keyOf(c)] && !hasContent(c) {
			wanted[keyOf(c)] = c
		}
	}
	for _, c := range tops {
		want(c)
	}
	for toEnd || len(wanted) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, data, err := in.r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return readError(err)
		}
		if _, ok := wanted[keyOf(c)]; !ok {
			return fmt.Errorf("%w: block %s at byte %d belongs to nothing in it", ErrFormat, c, in.r.Offset())
		}
		if err := ipfs.VerifyBlock(c, data); err != nil {
			return fmt.Errorf("%w: before byte %d: %w", ErrFormat, in.r.Offset(), err)
		}
		links, err := ipfs.Links(c, data)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		delete(wanted, keyOf(c))
		had[keyOf(c)] = true
		for _, l := range links {
			want(l.Cid)
		}
		if err := fn(c, data); err != nil {
			return err
		}
	}
	for _, c := range wanted {
		return fmt.Errorf("%w: it ends at byte %d, and %d or more blocks are missing, such as %s: it was cut off; make or copy it again", ErrFormat, in.r.Offset(), len(wanted), c)
	}
	return nil
}

// readError tells a CAR that ends too early from one that cannot be read.
func readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it was cut off; make or copy it again", ErrFormat)
	case errors.Is(err, ipfs.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}
