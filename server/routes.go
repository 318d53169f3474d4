package server

import (
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// request is a registry request whose name has been read.
type request struct {
	*http.Request
	name       string             // as in the path, for answers
	root       cid.Cid            // the layout
	repository string             // image in the layout; may be empty
	reference  string             // last component of the path: tag, digest, or ID of an upload
	local      *pushed.Repository // of a local name; nil where there is a root
	moving     string             // the name that moves by which root was found; "" for a CID
	older      bool               // there is another root to look in, which the name meant before
}

// handler serves one kind of request. What it returns is written by answerError.
type handler func(s *Server, w *response, r *request) error

var handlers = map[string]handler{
	"manifests": (*Server).manifest,
	"blobs":     (*Server).blob,
	"tags":      (*Server).tags,
	"referrers": (*Server).listReferrers,
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Whether the server is well may be asked without a password: probes have none.
	s.observe(w, r, s.asked(s.cfg.AuthRead && r.URL.Path != "/healthz", s.route))
}

// route serves who may ask.
func (s *Server) route(w *response, r *http.Request) error {
	refuseBody(w, r)
	r = s.admit(oneRange(r))
	path := r.URL.Path
	if !isRead(r.Method) && strings.HasPrefix(path, "/ipfs/") {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method == http.MethodOptions { // a browser asks before a script may
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
	}
	if !isRead(r.Method) {
		return errorf(codeUnsupported, "%s is not supported: this registry is read-only; publish with image2ipfs", clip(r.Method))
	}
	switch {
	case path == "/v2" || path == "/v2/":
		return servePlain(w, r, "application/json", "{}\n")
	case path == "/v2/_catalog":
		return s.catalog(w, r)
	case isRegistryPath(path):
		return s.registry(w, r)
	case strings.HasPrefix(path, "/ipfs/"):
		return s.ipfsPath(w, r)
	case strings.HasPrefix(path, "/ipns/"):
		return s.ipnsRecord(w, r)
	case path == "/" && s.page != nil:
		return s.browse(w, r)
	case path == "/healthz":
		return s.health(w, r)
	case path == "/metrics" && !s.cfg.MetricsElsewhere:
		s.metrics.handler.ServeHTTP(w, r)
		return nil
	}
	return errorf(codeNameUnknown, "nothing is served at %s: images are below /v2/, files below /ipfs/", clip(path))
}

func isRegistryPath(path string) bool { return path == "/v2" || strings.HasPrefix(path, "/v2/") }

func (s *Server) registry(w *response, r *http.Request) error {
	kind, name, reference, ok := splitRoute(r.URL.Path)
	if !ok {
		return errorf(codeNameUnknown, "no such endpoint: %s", clip(r.URL.Path))
	}
	if !oci.ValidName(name) {
		return errorf(codeNameInvalid, "%q is no name of an image", clip(name))
	}
	ns := r.URL.Query().Get("ns")
	q := &request{Request: r, name: name, reference: reference}
	var err error
	if q.root, q.repository, err = findRoot(name, ns); err != nil {
		if q.moving, q.repository = s.findMoving(name, ns); q.moving == "" {
			return err
		}
		return s.serveMoving(w, q, kind)
	}
	return s.serveRoot(w, q, kind)
}

// serveRoot serves a request whose root is known.
func (s *Server) serveRoot(w *response, q *request, kind string) error {
	if err := s.permit(q.Context(), q.root); err != nil {
		return err
	}
	if err := s.present(); err != nil {
		return err
	}
	s.noteUse(q.Request, q.root)
	return handlers[kind](s, w, q)
}

// splitRoute reads /v2/<name>/<kind>/<reference>. A name may have components
// that look like a kind, so the path is read from its end.
func splitRoute(path string) (kind, name, reference string, ok bool) {
	rest := strings.TrimPrefix(path, "/v2/")
	slash := strings.LastIndexByte(rest, '/')
	if slash < 0 {
		return "", "", "", false
	}
	rest, reference = rest[:slash], rest[slash+1:]
	slash = strings.LastIndexByte(rest, '/')
	if slash < 0 {
		return "", "", "", false
	}
	name, kind = rest[:slash], rest[slash+1:]
	_, ok = handlers[kind]
	return kind, name, reference, ok && (kind != "tags" || reference == "list")
}

// findRoot finds the root in a name, <root>[/repository], or else at the start
// of the host that a mirror is told by ns. Names without a root, all that an
// engine pulls from elsewhere among them, are refused here, before anything is
// looked up.
func findRoot(name, ns string) (root cid.Cid, repository string, err error) {
	if root, repository, err = ref.ParseRepository(name); err == nil {
		return root, repository, nil
	}
	host, rest := ns, ""
	if i := strings.IndexAny(ns, ":/"); i >= 0 {
		host = ns[:i]
		_, rest, _ = strings.Cut(ns, "/")
	}
	if root, err = ref.ParseRoot(host); err == nil {
		if rest = strings.Trim(rest, "/"); rest != "" {
			name = rest + "/" + name
		}
		return root, name, nil
	}
	return cid.Undef, "", errorf(codeNameUnknown, "%s carries no CID: names here are <ciq or CID>/<name>", clip(name))
}

// clip shortens what a client sent for a message.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// health tells whether the server can do its work: its store must be there, and open.
func (s *Server) health(w *response, r *http.Request) error {
	if err := s.present(); err != nil {
		return err
	}
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(); err != nil {
			return errorf(codeUnavailable, "%w", err)
		}
	}
	return servePlain(w, r, "text/plain; charset=utf-8", "ok\n")
}

func servePlain(w *response, r *http.Request, mediaType, body string) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	return serveContent(w, r, strings.NewReader(body))
}

var _ http.Handler = (*Server)(nil)
