package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/trust"
)

// hashes finds out that a file is what the name of a blob says. Whoever published a root
// wrote both, and what has to be signed is the digest.
type hashes struct {
	known   *budget.Cache[fileOf, error] // nil for the same bytes, else why they are refused
	hashing *flights[fileOf, struct{}]
	slots   *budget.Share // one for each large file that is read
}

// fileOf is a file that a layout calls a blob.
type fileOf struct {
	c cid.Cid
	d digest.Digest
}

const (
	maxHashed   = 20_000              // files that are remembered
	maxHashing  = 8                   // large ones at once, of which one origin has all but one
	smallHashed = oci.MaxManifestSize // bytes of a file that waits for no other
	hashLinger  = 5 * time.Second     // for which reading goes on when nobody waits for it
)

func newHashes(s *Server) hashes {
	h := hashes{
		known:   budget.NewCache[fileOf, error](maxHashed, 512, s.memory),
		hashing: newFlights[fileOf, struct{}](s.life, measurePeriod),
		slots:   budget.NewShare("large blobs that are compared with what is signed", maxHashing),
	}
	h.hashing.linger = hashLinger
	return h
}

// sameBytes reads a file of the own store once, and refuses it when its bytes are not those
// of a digest. A large one waits for those of others, though not for long, and is read for
// as long as somebody waits for it. Errors have the code DENIED or TOOMANYREQUESTS, or are
// those of reading.
func (s *Server) sameBytes(ctx context.Context, c cid.Cid, d digest.Digest) error {
	file, h := fileOf{c, d}, s.signatures.hashes
	for again := true; ; again = false {
		if refused, ok := h.known.Get(file); ok {
			return refused
		}
		_, err := h.hashing.join(ctx, file, func(ctx context.Context) (struct{}, error) {
			refused, err := s.compare(ctx, file)
			if err == nil {
				h.known.Put(file, refused, 1)
				err = refused
			}
			return struct{}{}, err
		}).wait(ctx)
		if err != errCut || !again { // it may have been held for somebody who has gone
			return err
		}
	}
}

// compare tells why a file is refused; err is why that cannot be told.
func (s *Server) compare(ctx context.Context, file fileOf) (refused, err error) {
	own := ipfs.Verified(s.local)
	first, err := own.Get(ctx, file.c)
	if err != nil {
		return nil, err
	}
	if refused := onlyFile(file.c, first, file.d); refused != nil {
		return absent(codeDenied, refused), nil
	}
	f, err := ipfs.OpenFile(ctx, own, file.c, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > smallHashed {
		release, err := borrow(ctx, s.signatures.hashes.slots, 1, "many large blobs are being compared with what is signed")
		if err != nil {
			return nil, err
		}
		defer release()
	}
	verifier := file.d.Verifier()
	if _, err := f.WriteTo(verifier); err != nil {
		return nil, err
	}
	if !verifier.Verified() {
		return otherBytes(file.d), nil
	}
	return nil, nil
}

func otherBytes(d digest.Digest) error {
	return errorf(codeDenied, "%w: what is published as %s has other bytes than those that are signed", trust.ErrUntrusted, d)
}

// onlyFile refuses what a layout calls a blob and is no file, by its first block, of which
// the hash has been checked: whatever lies below a directory is signed by nobody.
func onlyFile(c cid.Cid, first []byte, d digest.Digest) error {
	_, err := ipfs.SizeOfFile(c, first)
	if codec := c.Prefix().Codec; err == nil && codec != cid.Raw && codec != cid.DagProtobuf {
		err = fmt.Errorf("its CID %s is that of something else", c)
	}
	if err != nil {
		return fmt.Errorf("%w: what is published as %s is no file: %v", trust.ErrUntrusted, d, err)
	}
	return nil
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
	if refused, known := s.signatures.hashes.known.Get(fileOf{c, d}); signed && (!known || refused != nil) {
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

// inLayout refuses paths below a root that is signed as a whole that lead to no part of a
// layout: nothing else is covered by what is signed.
func (s *Server) inLayout(own ipfs.Getter, rest string) error {
	if s.signatures.policy == nil {
		return nil
	}
	if w, ok := own.(withIdentity); ok && w.Getter == (refused{}) {
		return nil // it carries its own content
	}
	names := pathNames(rest)
	fine := len(names) == 0
	switch {
	case fine:
	case names[0] == ocispec.ImageBlobsDir && len(names) == 3:
		fine = digest.NewDigestFromEncoded(digest.Algorithm(names[1]), names[2]).Validate() == nil
	case names[0] == ocispec.ImageBlobsDir:
		fine = len(names) < 3
	default:
		fine = len(names) == 1 && (names[0] == ocispec.ImageLayoutFile || names[0] == ocispec.ImageIndexFile)
	}
	if !fine {
		return errorf(codeDenied, "%w: %q leads to no part of an image layout: with --require-signature nothing else is served", trust.ErrUntrusted, clip(rest))
	}
	return nil
}

// pathNames are the names in a path, as [ipfs.ResolveAll] reads it.
func pathNames(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

// sameBelow reads what a request below a root that is signed as a whole is going to send.
func (s *Server) sameBelow(r *http.Request, rest string, segments []cid.Cid, f form) error {
	if s.signatures.policy == nil || r.Method == http.MethodHead {
		return nil
	}
	names := pathNames(rest)
	if len(names) == 3 {
		return s.sameBytes(r.Context(), segments[3], digest.NewDigestFromEncoded(digest.Algorithm(names[1]), names[2]))
	}
	what, err := selection(r.URL.Query(), f)
	if f.format != formatCAR || err != nil || what.Scope != car.All || len(names) > 0 && names[0] != ocispec.ImageBlobsDir {
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
