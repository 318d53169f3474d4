package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// exportCAR streams of the DAG under c what the query selects as a CARv1, depth first,
// after the blocks of path, which leads there (trustless gateway spec,
// "application/vnd.ipld.car").
func (s *Server) exportCAR(w *response, r *http.Request, own ipfs.Getter, path []cid.Cid, c cid.Cid, f form) error {
	what, err := selection(r.URL.Query(), f)
	if err != nil {
		return err
	}
	first, err := own.Get(r.Context(), c)
	if err != nil {
		return absent(codeNameUnknown, fmt.Errorf("not in this server's store: %w", err))
	}
	if err := selects(what, c, first); err != nil {
		return err
	}
	etag := headCAR(w.Header(), r, path, c, what)
	if unchanged(r, etag) {
		for _, name := range []string{"Content-Type", "Content-Disposition"} {
			w.Header().Del(name)
		}
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	done, err := borrow(r.Context(), s.memory.Exporting, exportCost, "too many CARs are being sent")
	if err != nil {
		return err
	}
	defer done()
	if what.Scope != car.Block {
		held, release, err := hold(r, own, c)
		switch {
		case err == nil:
			defer release()
			own = held
		case what.Scope == car.All: // what lists a directory may be there without what is in it
			return absent(codeNameUnknown, fmt.Errorf("not in this server's store: %w", err))
		}
	}
	w.WriteHeader(http.StatusOK)
	if err := w.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	export, err := car.NewWriter(w, c)
	if err != nil {
		return err
	}
	return export.DAG(r.Context(), own, path, c, what)
}

// exportCost is about what sending a CAR takes: a block, and which have been sent.
const exportCost = 4 << 20

// selection reads what of a DAG a query asks for (trustless gateway spec,
// "dag-scope", "entity-bytes").
func selection(query url.Values, f form) (car.Selection, error) {
	what := car.Selection{Scope: car.All, Dups: f.dups == "y"}
	scope, part := query.Get("dag-scope"), query.Get("entity-bytes")
	if part != "" {
		bytes, err := car.ParseRange(part)
		if err != nil {
			return what, errorf(codeNameInvalid, "entity-bytes: %s", clip(err.Error()))
		}
		if scope != "" && scope != string(car.Entity) {
			return what, errorf(codeNameInvalid, "entity-bytes is part of dag-scope=entity, and dag-scope is %q", clip(scope))
		}
		what.Scope, what.Bytes = car.Entity, &bytes
	} else if scope != "" {
		what.Scope = car.Scope(scope)
	}
	if !what.Scope.Valid() {
		return what, errorf(codeNameInvalid, "dag-scope is %q, expected all, entity or block", clip(scope))
	}
	return what, nil
}

// selects refuses what cannot be had of c, whose first block is given.
func selects(what car.Selection, c cid.Cid, first []byte) error {
	if codec := c.Prefix().Codec; what.Scope == car.All && car.HasUnreadLinks(codec) {
		return errorf(codeNameInvalid, "what %s links to is not followed here, since its codec is 0x%x: ask for dag-scope=block", c, codec)
	}
	if what.Bytes == nil {
		return nil
	}
	if size, err := ipfs.SizeOfFile(c, first); err == nil && what.Bytes.Outside(size) {
		return errorf(codeNameInvalid, "entity-bytes %s is outside the file, which has %d bytes", what.Bytes, size)
	}
	return nil
}

// headCAR sets the header of a CAR and gives its ETag: the same content by another
// path begins with other blocks.
func headCAR(h http.Header, r *http.Request, path []cid.Cid, c cid.Cid, what car.Selection) (etag string) {
	dups, bytes := "n", ""
	if what.Dups {
		dups = "y"
	}
	if what.Bytes != nil {
		bytes = "." + what.Bytes.String()
	}
	etag = `W/"` + c.String() + "." + string(what.Scope) + bytes + "." + dups + "." + pathTag(path) + `.car"`
	h.Set("Content-Type", car.MediaType+"; version=1; order=dfs; dups="+dups)
	h.Set("Content-Disposition", attachment(r, c.String()+".car"))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", etag)
	h.Set("Accept-Ranges", "none")
	return etag
}

// pathTag is short for the blocks of a path.
func pathTag(path []cid.Cid) string {
	h := sha256.New()
	for _, c := range path {
		h.Write(c.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
