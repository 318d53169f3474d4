package server

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// PushHandler answers what the server answers, and beside the names that carry a CID
// those of Config.Pushed, which are pushed to. It is for an address that no engine has
// as a mirror, since a name that was pushed would be docker.io's there. With
// Config.Passwords all of it asks for one, GET /v2/ first: engines look there alone.
func (s *Server) PushHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.observe(w, r, s.asked(s.cfg.Passwords != nil, s.routePush))
	})
}

// routePush serves local names, and leaves all else to route.
func (s *Server) routePush(w *response, r *http.Request) error {
	path := r.URL.Path
	if s.cfg.Pushed == nil || !isRegistryPath(path) || path == "/v2" || path == "/v2/" {
		return s.route(w, r)
	}
	name, rest := splitPush(path)
	if moving, _ := s.findMoving(name, ""); moving != "" || isRoot(name) {
		if !isRead(r.Method) && rest != "" {
			return s.refusePush(w, r, errorf(codeUnsupported, "%s is not supported: %s begins with %s, which is read-only; push to a name that begins otherwise, such as team/app", clip(r.Method), clip(name), whatBegins(moving)))
		}
		return s.route(w, r)
	}
	r = s.admit(oneRange(r))
	r = r.WithContext(ipfs.WithRoom(r.Context(), pushedMemory{s.memory}))
	if err := s.present(); err != nil {
		return err
	}
	if path == "/v2/_catalog" && isRead(r.Method) {
		return s.pushedCatalog(w, r)
	}
	q := &request{Request: r, name: name, repository: name, local: s.cfg.Pushed.Repository(name)}
	serve := pushRoute(r.Method, rest, q)
	switch {
	case serve == nil && rest == "":
		return errorf(codeNameUnknown, "no such endpoint: %s", clip(path))
	case serve == nil:
		w.Header().Set("Allow", pushMethods(rest))
		return errorf(codeUnsupported, "%s is not supported at %s", clip(r.Method), clip(path))
	case !oci.ValidName(name):
		return errorf(codeNameInvalid, "%q is no name of a repository (distribution-spec, \"Pulling manifests\")", clip(name))
	}
	if isRead(r.Method) {
		return serve(s, w, q)
	}
	err := s.uploads.mayWrite(s.requestOrigin(r))
	if err == nil && r.Method != http.MethodDelete {
		if reserved := pushed.CheckRepository(name); reserved != nil {
			err = errorf(codeNameInvalid, "%w", reserved)
		}
	}
	if err == nil {
		err = serve(s, w, q)
	}
	return s.refusePush(w, r, err)
}

// mostDrained is how many bytes of a body that is refused are read: clients that read
// no answer before they have sent all see it for manifests at least.
const mostDrained = 2 * oci.MaxManifestSize

// refusePush gives err, for which a request that writes is refused if there is one, when
// what its client still sends has come, or it is too much, or takes too long.
func (s *Server) refusePush(w *response, r *http.Request, err error) error {
	if err == nil || r.ContentLength == 0 || w.status != 0 {
		return err
	}
	if r.Header.Get("Expect") == "" && !w.broken && !w.wasCut() { // else it waits to be told to send, or nothing comes
		w.awaitBody(time.Now().Add(bodyTimeout))
		if _, rest := io.CopyN(io.Discard, r.Body, mostDrained); rest == io.EOF {
			w.awaitBody(time.Time{})
			return err
		}
	}
	refuseBody(w, r)
	return err
}

// whatBegins is how a name begins that is read-only; moving as in [request].
func whatBegins(moving string) string {
	switch {
	case moving == "":
		return "a CID"
	case ref.IsIPNS(moving):
		return "an IPNS name"
	}
	return "a domain of --dnslink"
}

// isRoot tells whether a repository's name begins with a root.
func isRoot(name string) bool {
	_, _, err := ref.ParseRepository(name)
	return err == nil
}

// splitPush parts the path of a registry request into the name of the repository and
// what is asked of it; rest is empty where there is no such endpoint. A name may have
// components that look like an endpoint, so the last counts.
func splitPush(path string) (name, rest string) {
	path = strings.TrimPrefix(path, "/v2/")
	if i := strings.LastIndex(path, "/blobs/uploads/"); i > 0 && !strings.Contains(path[i+len("/blobs/uploads/"):], "/") {
		return path[:i], path[i+1:]
	}
	if name, found := strings.CutSuffix(path, "/blobs/uploads"); found {
		return name, "blobs/uploads/"
	}
	kind, name, reference, ok := splitRoute("/v2/" + path)
	if !ok {
		return name, ""
	}
	return name, kind + "/" + reference
}

// pushRoutes serve the local names: by what is asked of a repository, then by method.
var pushRoutes = map[string]map[string]handler{
	"manifests": {http.MethodPut: (*Server).putManifest, http.MethodDelete: (*Server).deleteManifest},
	"blobs":     {http.MethodDelete: (*Server).deleteBlob},
	"uploads":   {http.MethodPost: (*Server).startUpload},
	"upload": {
		http.MethodPatch: (*Server).patchUpload, http.MethodPut: (*Server).putUpload,
		http.MethodGet: (*Server).tellUpload, http.MethodDelete: (*Server).cancelUpload,
	},
}

// pushRoute finds what serves a request of the local names; nil for nothing.
func pushRoute(method, rest string, q *request) handler {
	kind, reference := pushKind(rest)
	q.reference = reference
	if isRead(method) && handlers[kind] != nil {
		return handlers[kind]
	}
	return pushRoutes[kind][method]
}

// pushKind is what is asked of a repository, and the last component of the path.
func pushKind(rest string) (kind, reference string) {
	if id, ok := strings.CutPrefix(rest, "blobs/uploads/"); ok && id == "" {
		return "uploads", ""
	} else if ok {
		return "upload", id
	}
	kind, reference, _ = strings.Cut(rest, "/")
	return kind, reference
}

// pushMethods are those that there are for it (RFC 9110, "Allow").
func pushMethods(rest string) string {
	kind, _ := pushKind(rest)
	methods := slices.Sorted(maps.Keys(pushRoutes[kind]))
	if handlers[kind] != nil {
		methods = append(methods, http.MethodGet, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

// pushedCatalog serves /v2/_catalog of the local names.
func (s *Server) pushedCatalog(w *response, r *http.Request) error {
	names, err := s.cfg.Pushed.Repositories(r.Context())
	if err != nil {
		return err
	}
	page, err := paged(w, r, names)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", cacheMoving)
	return serveJSON(w, r, "application/json", map[string]any{"repositories": page})
}

// openNamed gives what a request's name is looked up in.
func (s *Server) openNamed(r *request) (reader, error) {
	if r.local != nil {
		return r.local, nil
	}
	return s.roots.open(r.Context(), r.root)
}

// refusedPush gives errors about what is pushed their codes.
func refusedPush(err error) error {
	var known *apiError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, pushed.ErrDigest):
		return errorf(codeDigestInvalid, "%w", err)
	case errors.Is(err, pushed.ErrLacking):
		return errorf(codeManifestBlobUnknown, "%w", err)
	case errors.Is(err, pushed.ErrNeeded):
		return &apiError{code: codeDenied, status: http.StatusConflict, message: err.Error(), cause: err}
	case errors.Is(err, oci.ErrManifestInvalid):
		return &apiError{code: codeManifestInvalid, status: http.StatusBadRequest, message: err.Error(), cause: err}
	}
	return absent(codeUnknown, err)
}

// askedDigest reads the digest of a query.
func askedDigest(text string) (digest.Digest, error) {
	d := digest.Digest(text)
	if err := d.Validate(); err != nil {
		return "", errorf(codeDigestInvalid, "digest %q: %w", clip(text), err)
	}
	return d, nil
}
