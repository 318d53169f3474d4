package kubo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// importAnswer is what dag/import says.
type importAnswer struct {
	roots  map[cid.Cid]string // why a root is not pinned; "" for those that are
	blocks uint64
}

// maxAnswer is far more than an import of one root answers.
const maxAnswer = 1 << 20

// parseAnswer reads the objects of an answer of dag/import?stats=true.
func parseAnswer(r io.Reader) (importAnswer, error) {
	a := importAnswer{roots: map[cid.Cid]string{}}
	stats := false
	for dec := json.NewDecoder(io.LimitReader(r, maxAnswer)); ; {
		var line struct {
			Root *struct {
				Cid         cid.Cid
				PinErrorMsg string
			}
			Stats *struct{ BlockCount uint64 }
		}
		err := dec.Decode(&line)
		if err == io.EOF {
			break
		}
		if err != nil {
			return a, fmt.Errorf("answer of dag/import: %w", jsontext.Fault(err))
		}
		if line.Root != nil && line.Root.Cid.Defined() {
			a.roots[line.Root.Cid] = line.Root.PinErrorMsg
		}
		if line.Stats != nil {
			a.blocks, stats = line.Stats.BlockCount, true
		}
	}
	if !stats {
		return a, errors.New("answer of dag/import: it ends before the count of blocks")
	}
	return a, nil
}
