package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"
)

// The protocol, on HTTP:
//
//	GET  /image2ipfs/blocks/1/CID
//
// asks what a node has of the DAG under CID. The answer is one of the states
// below, as text. Who fetches that DAG itself says so in a header, so that both
// know of each other from then on. Who sends Image2ipfs-Parts: 1 gets more lines:
// "own 1" of a node that holds the DAG as its own, and of each that holds it "pace N", the
// milliseconds that its answers take at the moment; of one that fetches it "hops N",
// and bitmaps in base 64 of the DAG's leaves in the order of links, each once, the
// lowest bit first: "has", and "gets", which are on their way from who has them.
//
//	POST /image2ipfs/blocks/1/CID          a CID on each line
//	POST /image2ipfs/blocks/1/CID?relay=1
//
// gets blocks, as a CARv1 whose root is CID and whose blocks are those that the
// node has of the listed, in that order. With relay=1 a node that fetches that
// DAG gets what it lacks from a holder, and sends it; as long as that goes on
// but nothing has come it sends the empty block of the identity hash.
const (
	// Path is where [Exchange.Handler] answers, and a CID follows.
	Path = "/image2ipfs/blocks/1/"

	headerFetching = "Image2ipfs-Fetching" // of a request: 1 if the asker fetches the DAG
	headerParts    = "Image2ipfs-Parts"    // of a request: 1 if the asker wants to know which parts
	headerState    = "Image2ipfs-State"    // of the answer to a POST
	paramRelay     = "relay"

	listType = "text/plain; charset=us-ascii"
)

const (
	maxList      = 1024     // blocks in one request
	maxListBytes = 64 << 10 // bytes of one request
	maxCIDText   = 160      // bytes of a CID's text; with SHA-512 it has 112
)

// state is what a node has of a DAG.
type state string

const (
	none     state = "none"     // not even its root
	some     state = "some"     // its root, but not all below
	fetching state = "fetching" // is getting it now
	holds    state = "holds"    // all of it, as far as a look at a part can tell
)

// awaited is the block that stands for blocks on their way.
var awaited = cid.MustParse("bafkqaaa")

// formatList writes the list of a request.
func formatList(cids []cid.Cid) string {
	var b strings.Builder
	for _, c := range cids {
		b.WriteString(c.String())
		b.WriteByte('\n')
	}
	return b.String()
}

var errList = errors.New("list of CIDs")

// parseList reads the list of a request: up to maxList different CIDs, one on
// each line. Errors match errList.
func parseList(r io.Reader) ([]cid.Cid, error) {
	limited := &io.LimitedReader{R: r, N: maxListBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 4<<10), 4<<10)
	var list []cid.Cid
	seen := map[cid.Cid]bool{}
	for lines.Scan() {
		text := lines.Text()
		if len(text) > maxCIDText {
			return nil, fmt.Errorf("%w: line %d has %d characters, at most %d are allowed", errList, len(list)+1, len(text), maxCIDText)
		}
		c, err := cid.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", errList, len(list)+1, err)
		}
		if seen[c] {
			return nil, fmt.Errorf("%w: %s is there twice", errList, c)
		}
		if len(list) == maxList {
			return nil, fmt.Errorf("%w: more than %d", errList, maxList)
		}
		seen[c] = true
		list = append(list, c)
	}
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errList, lines.Err())
	case limited.N <= 0:
		return nil, fmt.Errorf("%w: more than %d bytes", errList, maxListBytes)
	case len(list) == 0:
		return nil, fmt.Errorf("%w: it is empty", errList)
	}
	return list, nil
}
