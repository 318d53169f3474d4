package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// exportCAR streams the DAG under c as a CARv1, depth first, each block once,
// after the blocks of path, which leads there (trustless gateway spec,
// "application/vnd.ipld.car").
func (s *Server) exportCAR(w *response, r *http.Request, own ipfs.Getter, path []cid.Cid, c cid.Cid) error {
	query := r.URL.Query()
	scope := query.Get("dag-scope")
	if scope == "" {
		scope = "all"
	}
	if !slices.Contains([]string{"all", "entity", "block"}, scope) {
		return errorf(codeNameInvalid, "dag-scope is %q, expected all, entity or block", clip(scope))
	}
	if v := query.Get("car-version"); v != "" && v != "1" {
		return errorf(codeNameInvalid, "car-version is %q, only 1 is served", clip(v))
	}
	e := &carExport{ctx: r.Context(), g: own, scope: scope, sent: map[string]bool{}}
	first, err := e.g.Get(e.ctx, c)
	if err != nil {
		return absent(codeNameUnknown, fmt.Errorf("not in this server's store: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", car.MediaType+"; version=1; order=dfs; dups=n")
	h.Set("Content-Disposition", `attachment; filename="`+c.String()+`.car"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `W/"`+c.String()+`.`+scope+`.car"`)
	h.Set("Accept-Ranges", "none")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		return errorf(codeTooMany, "%d CARs are being sent already: try again, or ask for blocks", cap(s.exports))
	}
	w.WriteHeader(http.StatusOK)
	if err := w.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if e.car, err = car.NewWriter(w, c); err != nil {
		return err
	}
	for _, on := range path {
		if err := e.send(on); err != nil {
			return err
		}
	}
	return e.walk(c, first, 0)
}

// carExport is one CAR being written. What it remembers is the hashes of the
// blocks it has sent, some 100 bytes for each MiB or less of an image.
type carExport struct {
	ctx   context.Context
	g     ipfs.Getter
	car   *car.Writer
	scope string
	sent  map[string]bool // by multihash
}

func (e *carExport) send(c cid.Cid) error {
	data, err := e.g.Get(e.ctx, c)
	if err != nil {
		return err
	}
	_, err = e.block(c, data)
	return err
}

// block writes a block that was not written yet.
func (e *carExport) block(c cid.Cid, data []byte) (fresh bool, err error) {
	if key := string(c.Hash()); !e.sent[key] {
		e.sent[key] = true
		return true, e.car.Block(c, data)
	}
	return false, nil
}

const maxDAGDepth = 128

func (e *carExport) walk(c cid.Cid, data []byte, depth int) error {
	fresh, err := e.block(c, data)
	if err != nil || e.scope == "block" || c.Prefix().Codec != cid.DagProtobuf || !fresh && depth > 0 {
		return err
	}
	if depth > maxDAGDepth {
		return fmt.Errorf("%w: DAG is more than %d deep", ipfs.ErrIntegrity, maxDAGDepth)
	}
	node, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return fmt.Errorf("%w: block %s is no dag-pb node: %v", ipfs.ErrIntegrity, c, err)
	}
	for _, link := range e.below(node) {
		if e.sent[string(link.Cid.Hash())] && link.Cid.Prefix().Codec == cid.Raw {
			continue
		}
		child, err := e.g.Get(e.ctx, link.Cid)
		if err != nil {
			return err
		}
		if err := e.walk(link.Cid, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// below are the links that the scope takes along.
func (e *carExport) below(node *merkledag.ProtoNode) []*ipld.Link {
	if e.scope == "all" {
		return node.Links()
	}
	fs, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil {
		return node.Links()
	}
	switch fs.Type() {
	case unixfs.TDirectory:
		return nil
	case unixfs.THAMTShard: // links to shards have a name of the prefix alone
		return slices.DeleteFunc(slices.Clone(node.Links()), func(l *ipld.Link) bool { return len(l.Name) > 2 })
	}
	return node.Links()
}
