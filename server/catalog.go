package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/ref"
)

// catalog serves /v2/_catalog ("Listing Repositories" of Docker's registry API; the
// distribution spec has no such thing): the repositories of what the own store
// keeps, each behind its root's ciq name. A CID is a capability, so it is for
// requests from this machine, and for all only if Config.Catalog says so.
func (s *Server) catalog(w *response, r *http.Request) error {
	if !s.live.Load().Catalog && !s.isFromHere(r) {
		return errorf(codeDenied, "what is published here is listed for requests from this machine alone: start the server with --catalog to list it for everyone")
	}
	names := []string{}
	if s.cfg.Kept != nil {
		kept, err := s.cfg.Kept(r.Context())
		if err != nil {
			return errorf(codeUnavailable, "the store cannot be listed: %w", err)
		}
		for _, root := range kept {
			if s.permit(r.Context(), root.CID) == nil {
				names = append(names, repositories(ref.Ciq(root.CID), root.Names)...)
			}
		}
	}
	slices.Sort(names)
	page, err := paged(w, r, slices.Compact(names))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store") // for this client, and as of now
	return serveJSON(w, r, "application/json", map[string]any{"repositories": page})
}

// repositories are those of a root's names, "repository:tag"; of one without names
// the root itself.
func repositories(root string, names []string) (all []string) {
	for _, name := range names {
		name, _, _ = strings.Cut(name, "@")
		if repository, _, _ := ref.CutTag(name); repository != "" {
			all = append(all, root+"/"+repository)
		}
	}
	if len(all) == 0 {
		all = []string{root}
	}
	return all
}
