package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
)

// walkTar goes through a tar stream and, behind its end, drains r, so that the
// writer of a pipe does not fail and the checksums of a wrapper are checked.
func walkTar(r io.Reader, fn func(Entry) error) error {
	end := &endWatch{r: r}
	var in io.Reader = end
	if s, ok := r.(io.Seeker); ok {
		in = seekingEndWatch{end, s}
	}
	tr := tar.NewReader(in)
	seen := names{}
	for {
		end.zero = false
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return tarError(fmt.Sprintf("after %d entries", seen.entries), err)
		}
		e, ok, err := tarEntry(h)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if e.Again, err = seen.add(e); err != nil {
			return err
		}
		if e.Link == "" && e.Refused == nil {
			e.Content = &entryReader{name: e.Name, r: content(tr, h, end)}
		}
		if err := fn(e); err != nil {
			return err
		}
		if _, seeks := in.(io.Seeker); !seeks && e.Content != nil {
			if _, err := io.Copy(io.Discard, e.Content); err != nil {
				return err
			}
		}
	}
	if !end.zero {
		return fmt.Errorf("%w: truncated: it ends without an end-of-archive block", ErrFormat)
	}
	if _, seeks := in.(io.Seeker); seeks {
		return nil
	}
	return drain(r)
}

// drain reads what is behind the end of an archive. Padding and garbage mean nothing,
// as to tar; another archive would be lost without a word.
func drain(r io.Reader) error {
	block := make([]byte, blockSize)
	for {
		_, err := io.ReadFull(r, block)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return tarError("behind the last entry", err)
		case !isZero(block) && IsTar(block):
			return fmt.Errorf("%w: another tar begins behind the end of this one, as cat puts them together: publish each by itself", ErrFormat)
		}
	}
}

const blockSize = 512

// Types of GNU tar for what is no file: a directory with the names of its files, as
// incremental archives have it, and the label of an archive (GNU tar manual, "Basic Tar Format").
const (
	gnuDumpdir = 'D'
	gnuVolume  = 'V'
)

// names are those of the entries so far.
type names struct {
	seen    map[string]bool
	entries int
	bytes   int
}

// add notes an entry's name and tells whether it was there before; it refuses
// too many.
func (n *names) add(e Entry) (again bool, err error) {
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	again = n.seen[e.Name]
	n.seen[e.Name] = true
	n.entries++
	n.bytes += len(e.Name) + len(e.Link)
	if n.entries > maxEntries || n.bytes > maxNames {
		return again, fmt.Errorf("%w: more than %d entries or %d bytes of names", ErrFormat, maxEntries, maxNames)
	}
	return again, nil
}

// content reads an entry. The holes of a sparse one cost nothing in the
// archive and can be as large as a number can say.
func content(tr *tar.Reader, h *tar.Header, in *endWatch) io.Reader {
	if !isSparse(h) {
		return tr
	}
	return &bounded{r: tr, in: &in.n, start: in.n.Load(), what: "sparse entry " + h.Name}
}

// tarEntry makes an Entry of a header; ok is false for what has no content.
func tarEntry(h *tar.Header) (e Entry, ok bool, err error) {
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader, gnuDumpdir, gnuVolume:
		return Entry{}, false, nil
	}
	e = Entry{Size: h.Size, sparse: isSparse(h)}
	if e.Name, err = CleanName(h.Name); err != nil {
		return e, false, err
	}
	if !e.sparse && e.Size > maxInflated {
		return e, false, fmt.Errorf("%w: entry %s says that it has %d bytes, at most %d are allowed: the archive is damaged, save the image again", ErrFormat, e.Name, e.Size, int64(maxInflated))
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
	case tar.TypeSymlink:
		e.Link, e.Refused = linkTarget(e.Name, path.Dir(e.Name), h.Linkname)
	case tar.TypeLink:
		e.Link, e.Refused = linkTarget(e.Name, ".", strings.TrimLeft(h.Linkname, "/"))
	default:
		e.Refused = noFile(e.Name, h.FileInfo().Mode(), fmt.Sprintf("of tar type %q", h.Typeflag))
	}
	return e, true, nil
}

// noFile refuses an entry that is neither file, directory nor link; other says what it is
// where its mode does not.
func noFile(name string, mode fs.FileMode, other string) error {
	is := other
	switch {
	case mode&fs.ModeNamedPipe != 0:
		is = "a named pipe"
	case mode&fs.ModeDevice != 0:
		is = "a device"
	case mode&fs.ModeSocket != 0:
		is = "a socket"
	}
	return fmt.Errorf("%w: entry %s is %s: expected a file", ErrFormat, name, is)
}

func linkTarget(name, dir, target string) (string, error) {
	if path.IsAbs(target) {
		return "", fmt.Errorf("%w: link %s leads to the absolute path %q", ErrFormat, name, target)
	}
	joined := path.Join(dir, strings.ReplaceAll(target, `\`, "/"))
	clean, err := CleanName(joined)
	if err != nil {
		return "", fmt.Errorf("%w: link %s leads to %q, outside the archive", ErrFormat, name, target)
	}
	return clean, nil
}

func tarError(where string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: truncated %s", ErrFormat, where)
	case errors.Is(err, ErrFormat):
		return err
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("%w: no valid tar header %s", ErrFormat, where)
	}
	return fmt.Errorf("reading %s: %w", where, err)
}

// entryReader names the entry in errors of its content.
type entryReader struct {
	name string
	r    io.Reader
}

func (e *entryReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		err = tarError("in entry "+e.name, err)
	}
	return n, err
}

// endWatch remembers whether archive/tar read a block of zeros in place of a
// header: it takes a missing end marker for the end. What it reads in other
// sizes is no header but padding.
type endWatch struct {
	r    io.Reader
	n    atomic.Int64 // bytes read
	zero bool
}

func (w *endWatch) Read(p []byte) (n int, err error) {
	defer func() { w.n.Add(int64(n)) }()
	if len(p) != blockSize {
		return w.r.Read(p)
	}
	n, err = io.ReadFull(w.r, p)
	if err == io.ErrUnexpectedEOF && n > 0 { // the rest is asked for again
		err = nil
	}
	w.zero = w.zero || n == blockSize && isZero(p)
	return n, err
}

type seekingEndWatch struct {
	*endWatch
	io.Seeker
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
