package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/trust"
)

// hashes finds out that a file is what the name of a blob says. Whoever published a root
// wrote both, and what has to be signed is the digest.
type hashes struct {
	same    *budget.Cache[fileOf, struct{}]
	hashing *flights[fileOf, struct{}]
	slots   chan struct{} // one for each file that is read
}

// fileOf is a file that a layout calls a blob.
type fileOf struct {
	c cid.Cid
	d digest.Digest
}

const (
	maxHashed  = 20_000 // files that are remembered
	maxHashing = 2      // at once
)

func newHashes(s *Server) hashes {
	return hashes{
		same:    budget.NewCache[fileOf, struct{}](maxHashed, 384, s.memory),
		hashing: newFlights[fileOf, struct{}](s.life, measurePeriod),
		slots:   make(chan struct{}, maxHashing),
	}
}

// sameBytes reads a file of the own store once, and refuses it when its bytes are not those
// of a digest. Errors have the code DENIED, or are those of reading.
func (s *Server) sameBytes(ctx context.Context, c cid.Cid, d digest.Digest) error {
	file := fileOf{c, d}
	if _, ok := s.signatures.hashes.same.Get(file); ok {
		return nil
	}
	_, err := s.signatures.hashes.hashing.join(ctx, file, func(ctx context.Context) (none struct{}, err error) {
		h := s.signatures.hashes
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			return none, ctx.Err()
		}
		f, err := ipfs.OpenFile(ctx, ipfs.Verified(s.local), c, 0)
		if err != nil {
			return none, err
		}
		defer f.Close()
		verifier := d.Verifier()
		if _, err := f.WriteTo(verifier); err != nil {
			return none, err
		}
		if !verifier.Verified() {
			return none, otherBytes(d)
		}
		h.same.Put(file, struct{}{}, 1)
		return none, nil
	}).wait(ctx)
	return err
}

func otherBytes(d digest.Digest) error {
	return errorf(codeDenied, "%w: what is published as %s has other bytes than those that are signed", trust.ErrUntrusted, d)
}

// openSame is openFile for a blob whose bytes have to be those that are signed. What is in
// the own store is read before any of it is sent; what comes from elsewhere is cut before
// its last bytes, for who asks for all of it.
func (s *Server) openSame(w *response, r *request, c cid.Cid, d digest.Digest) (openedFile, error) {
	signed := s.signatures.policy != nil && r.local == nil
	if signed && r.Method != http.MethodHead && s.isLocal(r.Context(), c) {
		if err := s.sameBytes(r.Context(), c, d); err != nil && !isAbsent(err) {
			return nil, absent(codeUnknown, err)
		}
	}
	f, err := s.openFile(w, r, c)
	if err != nil {
		return nil, err
	}
	if _, known := s.signatures.hashes.same.Get(fileOf{c, d}); signed && !known {
		return &sameFile{f, d}, nil
	}
	return f, nil
}

// sameFile is a file that is cut before its end when it is written whole and its bytes are
// not those of a digest.
type sameFile struct {
	*blobFile
	d digest.Digest
}

// WriteTo writes the rest of the file.
func (f *sameFile) WriteTo(w io.Writer) (int64, error) {
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != 0 {
		return f.blobFile.WriteTo(w)
	}
	return f.blobFile.WriteTo(&sameWriter{w: w, d: f.d, verifier: f.d.Verifier(), left: f.Size()})
}

type sameWriter struct {
	w        io.Writer
	d        digest.Digest
	verifier digest.Verifier
	left     int64
}

func (w *sameWriter) Write(p []byte) (int, error) {
	if _, err := w.verifier.Write(p); err != nil {
		return 0, err
	}
	if w.left -= int64(len(p)); w.left <= 0 && !w.verifier.Verified() {
		return 0, otherBytes(w.d)
	}
	return w.w.Write(p)
}

// sameBelow reads what a request below a root that is signed as a whole is going to send.
func (s *Server) sameBelow(r *http.Request, rest string, segments []cid.Cid, f form) error {
	if s.signatures.policy == nil || len(segments) == 0 || r.Method == http.MethodHead {
		return nil
	}
	names := strings.FieldsFunc(rest, func(c rune) bool { return c == '/' })
	if len(segments) == 4 && len(names) == 3 && names[0] == ocispec.ImageBlobsDir {
		return s.sameBytes(r.Context(), segments[3], digest.NewDigestFromEncoded(digest.Algorithm(names[1]), names[2]))
	}
	if what, err := selection(r.URL.Query(), f); f.format != formatCAR || err != nil || what.Scope != car.All || len(names) > 2 {
		return nil
	}
	l, err := ipfs.OpenLayout(r.Context(), s.local, segments[0])
	if isAbsent(err) {
		return nil // it carries its own content
	}
	if err != nil {
		return err
	}
	return l.Blobs(r.Context(), func(d digest.Digest, c cid.Cid) error { return s.sameBytes(r.Context(), c, d) })
}

// onlyLayout refuses a root that has something else in it than a layout has.
func (s *Server) onlyLayout(ctx context.Context, root cid.Cid) error {
	dir, err := ipfs.OpenDir(ctx, s.local, root)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	return dir.ForEach(ctx, func(name string, c cid.Cid) error {
		known := name == ocispec.ImageLayoutFile || name == ocispec.ImageIndexFile || name == ocispec.ImageBlobsDir
		if !known || seen[name] {
			return fmt.Errorf("%w: %q in it is no part of an image layout", trust.ErrUntrusted, clip(name))
		}
		seen[name] = true
		if name != ocispec.ImageLayoutFile {
			return nil
		}
		const most = 1024
		data, err := ipfs.ReadFile(ctx, s.local, c, most)
		if err != nil && !errors.Is(err, ipfs.ErrCorrupt) {
			return err
		}
		var says map[string]string
		if err != nil || jsontext.Unmarshal(data, &says) != nil || len(says) != 1 || says["imageLayoutVersion"] != ocispec.ImageLayoutVersion {
			return fmt.Errorf("%w: %s of %s says something else than version %s of the layout", trust.ErrUntrusted, name, ref.Ciq(root), ocispec.ImageLayoutVersion)
		}
		return nil
	})
}
