package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/internal/websafe"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// loopback is a registry of one layout on this machine's loopback, for a dockerd
// that pulls from it and for nobody else: the pull side of the distribution spec,
// without redirects, limits or metrics.
type loopback struct {
	layout *layout.Layout
	server *http.Server
	addr   string
	served chan error
}

// serveLoopback starts the registry; it is to be closed.
func serveLoopback(ctx context.Context, l *layout.Layout) (*loopback, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &loopback{layout: l, addr: listener.Addr().String(), served: make(chan error, 1)}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, ErrorLog: silent.Errors(nil)}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// Close ends what is being sent and returns when nothing answers any more.
func (r *loopback) Close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// ServeHTTP implements http.Handler: /v2/, /v2/<name>/manifests/<reference> and
// /v2/<name>/blobs/<digest> (distribution-spec, "Pull").
func (r *loopback) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if !websafe.IsLocalHost(req.Host) {
		http.Error(w, "this server answers for the loopback alone", http.StatusMisdirectedRequest)
		return
	}
	if req.URL.Path == "/v2/" {
		return
	}
	parts := strings.Split(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
	if n := len(parts); n >= 3 && (req.Method == http.MethodGet || req.Method == http.MethodHead) {
		name, kind, reference := strings.Join(parts[:n-2], "/"), parts[n-2], parts[n-1]
		switch kind {
		case "manifests":
			r.manifest(w, req, name, reference)
			return
		case "blobs":
			r.blob(w, req, digest.Digest(reference))
			return
		}
	}
	refuse(w, "UNSUPPORTED", fmt.Errorf("%w: %s %s", oci.ErrNotFound, req.Method, req.URL.Path))
}

// askedFor reads the repository of a request: what is served is what it means, also by a
// name that moves.
func askedFor(repository string) (n ref.Name, err error) {
	if n.Root, n.Repository, err = ref.ParseRepository(repository); err == nil {
		return n, nil
	}
	n.Moving, n.Repository, _, err = ref.SplitMoving(strings.Split(repository, "/"), func(string) bool { return true })
	return n, err
}

func (r *loopback) manifest(w http.ResponseWriter, req *http.Request, name, reference string) {
	n, err := askedFor(name)
	if err != nil {
		refuse(w, "NAME_UNKNOWN", err)
		return
	}
	n.Tag = reference
	if d := digest.Digest(reference); d.Validate() == nil {
		n.Tag, n.Digest = "", d
	}
	desc, err := r.layout.Resolve(req.Context(), n)
	if err != nil {
		refuse(w, "MANIFEST_UNKNOWN", err)
		return
	}
	m, err := r.layout.Manifest(req.Context(), desc.Digest)
	if err != nil {
		refuse(w, "MANIFEST_UNKNOWN", err)
		return
	}
	w.Header().Set("Content-Type", m.Descriptor.MediaType)
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(m.Content))
}

func (r *loopback) blob(w http.ResponseWriter, req *http.Request, d digest.Digest) {
	f, err := r.layout.Files().Open(req.Context(), d, ahead)
	if err != nil {
		refuse(w, "BLOB_UNKNOWN", err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", d.String())
	http.ServeContent(w, req, "", time.Time{}, f)
}

// refuse tells dockerd an error as the spec has it ("Error Codes"), which it shows
// to its user.
func refuse(w http.ResponseWriter, code string, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, oci.ErrNotFound) || errors.Is(err, ref.ErrNotRoot) || errors.Is(err, ref.ErrNotMoving) {
		status = http.StatusNotFound
	}
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, encodeErr := json.Marshal(map[string][]entry{"errors": {{code, strings.ToValidUTF8(err.Error(), "�")}}})
	if encodeErr != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // dockerd is gone otherwise
}
