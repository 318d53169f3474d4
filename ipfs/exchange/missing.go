package exchange

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// maxNamed is how many peers an error names.
const maxNamed = 8

// missingError is about one DAG: of others the peers may have all. So it matches
// [ipfs.ErrOneBlock] besides.
type missingError struct{ error }

func (missingError) Is(target error) bool { return target == ipfs.ErrOneBlock }
func (e missingError) Unwrap() error      { return e.error }

// missing says what of a DAG has not come, and who was asked; b is a block that a
// reader waits for. The error matches [ipfs.ErrUnavailable] and [ipfs.ErrOneBlock].
func (j *job) missing(x *Exchange, b *block, now time.Time) error {
	var blocks int
	var bytes int64
	for _, other := range j.todo {
		if !other.here {
			blocks, bytes = blocks+1, bytes+other.size
		}
	}
	return missingError{fmt.Errorf("%w: no peer has sent block %s, nor any other of %s, within %s; %d of its blocks are missing, about %d bytes; %s",
		ipfs.ErrUnavailable, b.cid, j.root, x.limits.Give, blocks, bytes, j.asked(x, now))}
}

// asked names the peers of whom it is known that they have anything of a DAG, or that
// were asked and failed.
func (j *job) asked(x *Exchange, now time.Time) string {
	var names []string
	for _, p := range x.peers {
		v := j.view(p)
		var what string
		switch {
		case p.rt == nil && v.state != none:
			what = "has gone"
		case p.rt == nil:
			continue
		case now.Before(p.banned):
			what = "sent false blocks"
		case p.failures != [2]int{}:
			what = "does not answer"
		case v.state == holds:
			what = "says that it has all"
		case v.state == fetching && v.has != nil:
			what = fmt.Sprintf("fetches it as well and has %d of %d blocks", v.has.count(), j.leaves)
		case v.state == fetching:
			what = "fetches it as well"
		case v.state == some:
			what = "has a part"
		default:
			continue
		}
		names = append(names, p.id+" "+what)
	}
	if len(names) == 0 {
		return fmt.Sprintf("none of %d peers has any of it", len(x.peers))
	}
	slices.SortFunc(names, cmp.Compare[string])
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(", and %d more", n)
	}
	return "asked were " + strings.Join(names, ", ") + more
}
