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
	return ipfs.OneBlock(fmt.Errorf("%w: no peer has sent block %s, nor any other of %s, within %s; %d of its blocks are missing, about %d bytes; %s",
		ipfs.ErrUnavailable, b.cid, j.root, x.limits.Give, blocks, bytes, j.asked(x, now)))
}

// asked names the peers of whom it is known that they have anything of a DAG, or that
// were asked and failed.
func (j *job) asked(x *Exchange, now time.Time) string {
	var names []named
	for _, p := range x.peers {
		v := j.view(p)
		if p.rt == nil && v.state == none {
			continue
		}
		if rank, what := j.standing(p, v, now); what != "" {
			names = append(names, named{rank, p.id + " " + what})
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("none of %d peers has any of it", len(x.peers))
	}
	slices.SortFunc(names, func(a, b named) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.text, b.text)) })
	var texts []string
	for _, one := range names[:min(len(names), maxNamed)] {
		texts = append(texts, one.text)
	}
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return "asked were " + strings.Join(texts, ", ") + more
}

// named is a peer in an error; those of low rank say most of why there is one.
type named struct {
	rank int
	text string
}

// standing says what is to be told of a peer, and how much it explains; nothing of one
// that has nothing and answers.
func (j *job) standing(p *peer, v *view, now time.Time) (rank int, what string) {
	fails := p.failures != [2]int{}
	switch {
	case p.rt == nil:
		return 1, "has gone"
	case now.Before(p.banned):
		return 0, "sent false blocks"
	case fails && v.state == fetching:
		return 3, "does not answer"
	case fails:
		return 0, "does not answer"
	case v.state == holds:
		return 1, "says that it has all"
	case v.state == some:
		return 2, "has a part"
	case v.state == fetching && v.has != nil:
		return 4, fmt.Sprintf("fetches it as well and has %d of %d blocks", v.has.count(), j.leaves)
	case v.state == fetching:
		return 4, "fetches it as well"
	}
	return 0, ""
}
