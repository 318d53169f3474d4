package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// exportCAR streams the DAG under c as a CARv1, depth first, each block once,
// after the blocks of path, which leads there (trustless gateway spec,
// "application/vnd.ipld.car").
func (s *Server) exportCAR(w *response, r *http.Request, own ipfs.Getter, path []cid.Cid, c cid.Cid) error {
	query := r.URL.Query()
	scope := car.All
	if v := query.Get("dag-scope"); v != "" {
		scope = car.Scope(v)
	}
	if !scope.Valid() {
		return errorf(codeNameInvalid, "dag-scope is %q, expected all, entity or block", clip(string(scope)))
	}
	if v := query.Get("car-version"); v != "" && v != "1" {
		return errorf(codeNameInvalid, "car-version is %q, only 1 is served", clip(v))
	}
	if _, err := own.Get(r.Context(), c); err != nil {
		return absent(codeNameUnknown, fmt.Errorf("not in this server's store: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", car.MediaType+"; version=1; order=dfs; dups=n")
	h.Set("Content-Disposition", attachment(r, c.String()+".car"))
	h.Set("X-Content-Type-Options", "nosniff")
	// The same content by another path begins with other blocks.
	etag := `W/"` + c.String() + "." + string(scope) + "." + pathTag(path) + `.car"`
	h.Set("ETag", etag)
	h.Set("Accept-Ranges", "none")
	if unchanged(r, etag) {
		for _, name := range []string{"Content-Type", "Content-Disposition"} {
			h.Del(name)
		}
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
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
	if scope != car.Block {
		held, release, err := hold(r, own, c)
		switch {
		case err == nil:
			defer release()
			own = held
		case scope == car.All: // what lists a directory may be there without what is in it
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
	return export.DAG(r.Context(), own, path, c, scope)
}

// pathTag is short for the blocks of a path.
func pathTag(path []cid.Cid) string {
	h := sha256.New()
	for _, c := range path {
		h.Write(c.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
