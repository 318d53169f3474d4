package server

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Recompress makes a root whose layers share blocks with those of other versions out of
// one that was pushed, and keeps it in a store. It may give the same.
type Recompress func(ctx context.Context, root cid.Cid, to ipfs.Store) (cid.Cid, error)

// recompress makes a second root of what each pushed tag is, and tells who pushed and
// the log. One is made at a time; a push stands whatever becomes of it. Names are those
// of what was made, by tag.
func (s *Server) recompress(w *response, r *request, m pushed.Manifest, result pushed.Result) (names map[string]string) {
	roots := slices.DeleteFunc(slices.Clone(result.Roots), func(root pushed.Root) bool { return !slices.Contains(m.Tags, root.Tag) })
	if s.cfg.Recompress == nil || len(roots) == 0 {
		return nil
	}
	select {
	case s.recompressing <- struct{}{}:
		defer func() { <-s.recompressing }()
	case <-r.Context().Done():
		return nil
	}
	names = map[string]string{}
	for _, root := range roots {
		if name := s.recompressOne(r, root); name != "" {
			names[root.Tag] = name
			w.Header().Add("Image2ipfs-Recompressed", name)
		}
	}
	return names
}

// recompressOne makes a second root of one; its name is empty when there is none.
func (s *Server) recompressOne(r *request, root pushed.Root) (name string) {
	again, err := s.cfg.Recompress(r.Context(), root.CID, s.cfg.Pushed.Beside(r.name, root.CID))
	switch {
	case err != nil:
		s.metrics.recompressed.WithLabelValues("failed").Inc()
		s.log.Warn("what was pushed was not recompressed", "name", r.name+":"+root.Tag, "cid", root.CID.String(), "error", err)
		return ""
	case again.Equals(root.CID):
		s.metrics.recompressed.WithLabelValues("same").Inc()
		return ""
	}
	s.metrics.recompressed.WithLabelValues("made").Inc()
	name = ref.Name{Host: s.registryHost(r.Request), Root: again, Repository: r.name}.String()
	s.log.Info("recompressed", "name", r.name+":"+root.Tag, "pull", name, "cid", again.String(), "of", root.CID.String())
	return name
}

// maxAdvised are the repositories whose pushers were told what a push costs.
const maxAdvised = 10_000

// advise says once for each repository that what was pushed shares next to nothing with
// what was there before, and what does.
func (s *Server) advise(r *request, result pushed.Result) {
	if len(result.Unshared) == 0 {
		return
	}
	if _, told := s.advised.Get(r.name); told {
		return
	}
	s.advised.Put(r.name, struct{}{}, 1)
	most := result.Unshared[0]
	s.log.Info("a layer that was pushed shares less than 10 % with what the tag was before, since clients compress layers as a whole: publish images that are built here (image2ipfs publish docker-daemon:NAME), or start the server with --recompress",
		"name", r.name, "layer", most.Digest.String(), "bytes", most.Size, "new", most.New)
}
