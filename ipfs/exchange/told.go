package exchange

import (
	"context"
	"encoding/base64"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
)

// told is what a node tells of a DAG: a state, and, to those who ask for it, what
// they need to share the work.
type told struct {
	state state
	// own says that a node that holds the DAG keeps it as its own: it is the publisher,
	// or has pinned it. What it has from peers for a while is a copy.
	own bool
	// hops is how far a node that fetches the DAG is from one that holds it: 1 when it is
	// connected to one; 0 when nobody knows any.
	hops int
	// pace is how long answers of a node that holds the DAG take at the moment; 0 when
	// that is not known.
	pace time.Duration
	has  bitmap // leaves that a node that fetches the DAG has
	gets bitmap // leaves that are on their way to it from a node that has them
}

const (
	maxHops = 8
	// maxTold are the bytes of an answer with bitmaps of maxPlanned leaves.
	maxTold = 2*(maxPlanned/8*4/3+16) + 256
)

// bitmap has a bit for each leaf of a DAG, each once, in the order of links.
type bitmap []byte

func (m bitmap) bit(i int) bool { return i >= 0 && i/8 < len(m) && m[i/8]>>(i%8)&1 != 0 }

// set returns a bitmap with that bit.
func (m bitmap) set(i int) bitmap {
	for i/8 >= len(m) {
		m = append(m, 0)
	}
	m[i/8] |= 1 << (i % 8)
	return m
}

func (m bitmap) clear(i int) {
	if i >= 0 && i/8 < len(m) {
		m[i/8] &^= 1 << (i % 8)
	}
}

// beyond tells whether m has bits that other lacks.
func (m bitmap) beyond(other bitmap) bool {
	for i, b := range m {
		if i < len(other) {
			b &^= other[i]
		}
		if b != 0 {
			return true
		}
	}
	return false
}

func (m bitmap) count() (n int) {
	for _, b := range m {
		n += bits.OnesCount8(b)
	}
	return n
}

// text is an answer: the state, which is all that nodes of older versions ask for and
// read, and a line for each thing beside it.
func (t told) text() string {
	var b strings.Builder
	b.WriteString(string(t.state))
	if t.own {
		b.WriteString("\nown 1")
	}
	if t.hops > 0 {
		b.WriteString("\nhops " + strconv.Itoa(t.hops))
	}
	if t.pace > 0 {
		b.WriteString("\npace " + strconv.FormatInt(t.pace.Milliseconds(), 10))
	}
	for _, m := range []struct {
		name string
		bits bitmap
	}{{"has", t.has}, {"gets", t.gets}} {
		if len(m.bits) > 0 {
			b.WriteString("\n" + m.name + " " + base64.RawStdEncoding.EncodeToString(m.bits))
		}
	}
	return b.String()
}

// parseTold reads an answer. A state that is not known is none, and other lines are
// left out, so that there can be more of both.
func parseTold(text string) (t told) {
	first, rest, _ := strings.Cut(text, "\n")
	t.state = parseState(first)
	for line := range strings.SplitSeq(rest, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "own":
			t.own = value == "1"
		case "hops":
			if n, err := strconv.Atoi(value); err == nil && n > 0 && n <= maxHops {
				t.hops = n
			}
		case "pace":
			if n, err := strconv.ParseInt(value, 10, 32); err == nil && n > 0 {
				t.pace = min(time.Duration(n)*time.Millisecond, maxPatience)
			}
		case "has":
			t.has, _ = base64.RawStdEncoding.DecodeString(value) // what is no bitmap has no bits
		case "gets":
			t.gets, _ = base64.RawStdEncoding.DecodeString(value)
		}
	}
	return t
}

// Owner is a [Store] that knows what this machine keeps as its own, other than what
// came from peers and may go again.
type Owner interface {
	Own(ctx context.Context, c cid.Cid) bool
}

// tell gives what this node tells of the DAG under root.
func (x *Exchange) tell(root cid.Cid) told {
	if t, ok := x.tellFetched(root); ok {
		return t
	}
	t := told{state: x.lookOnce(root)}
	if t.state == holds {
		t.pace = x.paces.usual(x.limits.Stall)
	}
	if owner, ok := x.store.(Owner); ok && t.state == holds {
		t.own = owner.Own(x.ctx, root)
	}
	return t
}

// tellState gives the state alone, without a look at each block.
func (x *Exchange) tellState(root cid.Cid) state {
	x.mu.Lock()
	j := x.jobs[string(root.Hash())]
	isFetched := j != nil && !j.complete()
	x.mu.Unlock()
	if isFetched {
		return fetching
	}
	return x.lookOnce(root)
}

// lookOnce looks what the store has of a DAG, unless that was done a moment ago.
func (x *Exchange) lookOnce(root cid.Cid) state {
	return x.gate.remember(string(root.Hash()), func() state { return x.look(x.ctx, root) })
}

// tellFetched is of a DAG that is being fetched; false when that is not so.
func (x *Exchange) tellFetched(root cid.Cid) (told, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	j := x.jobs[string(root.Hash())]
	if j == nil || j.complete() {
		return told{}, false
	}
	t := told{state: fetching, hops: j.hops}
	if !j.planned {
		return t, true
	}
	t.has = append(bitmap{}, j.has...)
	for _, b := range j.todo {
		if i := b.leaf(j); i >= 0 && !b.here && b.running(plain) > 0 {
			t.gets = t.gets.set(i)
		}
	}
	return t, true
}
