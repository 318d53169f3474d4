// Package archive goes through the files of an image archive: a tar, also one
// wrapped in gzip, zstd, bzip2 or lz4, from a file or a pipe, or a directory. It sniffs
// which it is and refuses names and links that leave the archive.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/internal/input"
)

// ErrFormat is matched by errors about input that is no archive, or a broken one.
var ErrFormat = errors.New("invalid archive")

// Entry is one file of an archive. Directories are not entries.
type Entry struct {
	Name    string    // slash-separated, relative, without "." and ".."
	Size    int64     // bytes of Content
	Link    string    // for links: the name of the entry that is meant; no Content then
	Content io.Reader // valid until the callback returns
	Again   bool      // an entry before has this name
	Refused error     // a device, a link out of the archive, what cannot be opened: why nobody may read it; no Content and no Link then
	sparse  bool
}

// readBuffer spares system calls on small entries; larger reads go past it.
const readBuffer = 64 << 10

// Archive is an opened archive.
type Archive struct {
	name     string
	size     int64
	seekable *os.File // plain tar in a regular file
	stream   io.Reader
	dir      *os.Root
	close    []func() error
}

// Open opens the archive at path; "-" is standard input. A terminal there is
// refused.
func Open(path string) (*Archive, error) { return OpenContext(context.Background(), path) }

// OpenContext is Open of what may let wait for it, such as a named pipe into which nobody
// writes yet. The error is ctx's cause when that ends meanwhile, which ends later reads of
// a file, too.
func OpenContext(ctx context.Context, path string) (*Archive, error) {
	a, err := openPath(ctx, path)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return a, err
}

func openPath(ctx context.Context, path string) (*Archive, error) {
	if path == "-" {
		return openStdin()
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		a := &Archive{name: path, dir: root, close: []func() error{root.Close}}
		a.size = a.dirSize()
		return a, nil
	}
	f, err := input.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return fromFile(f, path, info)
}

// Stream is the archive that r yields, a plain tar, once. Closing it closes r.
func Stream(name string, r io.ReadCloser) *Archive {
	return &Archive{name: name, size: -1, stream: r, close: []func() error{r.Close}}
}

// standardInput is its name for messages.
const standardInput = "standard input"

func openStdin() (*Archive, error) {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, errors.New("standard input is a terminal: pipe an archive in, such as  docker save app:1 | image2ipfs  or name a file, such as  image2ipfs publish app.tar")
	}
	info, err := os.Stdin.Stat()
	if err != nil { // not every system knows what was redirected; reading tells whether it is there
		info = nil
	}
	return fromFile(os.Stdin, standardInput, info)
}

func fromFile(f *os.File, name string, info os.FileInfo) (*Archive, error) {
	a := &Archive{name: name, size: -1, close: []func() error{f.Close}}
	if info != nil && info.Mode().IsRegular() {
		a.size = info.Size()
		if start, err := f.Seek(0, io.SeekCurrent); err == nil && start == 0 {
			a.seekable = f
		}
	}
	if err := a.sniff(f); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Size is the number of bytes that reading the archive takes, as [Archive.Count]
// counts them; -1 when unknown.
func (a *Archive) Size() int64 { return a.size }

// String is the archive's name for messages.
func (a *Archive) String() string { return a.name }

// IsDirectory tells a directory from a tar.
func (a *Archive) IsDirectory() bool { return a.dir != nil }

// Close closes the archive.
func (a *Archive) Close() error {
	var errs []error
	for _, closeIt := range slices.Backward(a.close) {
		errs = append(errs, closeIt())
	}
	return errors.Join(errs...)
}

// sniff finds out what f holds and prepares to read it as a tar.
func (a *Archive) sniff(f *os.File) error {
	buffered := bufio.NewReaderSize(f, readBuffer)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	a.stream = buffered
	switch {
	case len(head) == 0:
		return fmt.Errorf("%w: %s is empty: did the command that should write it fail?", ErrFormat, a.name)
	case IsGzip(head), IsZstd(head), IsBzip2(head), IsLz4(head):
		a.seekable = nil
		r, err := Inflate(head, buffered)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		a.close = append(a.close, r.Close)
		return a.sniffInside(head, r)
	case IsTar(head):
	default:
		return fmt.Errorf("%w: %s: expected a tar archive (plain, or compressed with gzip, zstd, bzip2 or lz4) or a directory, found %s", ErrFormat, a.name, a.describe(head, a.size, ""))
	}
	return nil
}

// sniffInside looks at what a compressed file holds. What is broken there the walk
// tells of.
func (a *Archive) sniffInside(outer []byte, r io.Reader) error {
	buffered := bufio.NewReaderSize(r, readBuffer)
	head, err := buffered.Peek(blockSize)
	a.stream = buffered
	if err != nil && err != io.EOF {
		a.stream = io.MultiReader(bytes.NewReader(bytes.Clone(head)), failed{err})
		return nil
	}
	if IsTar(head) {
		return nil
	}
	tool := compressor(outer)
	return fmt.Errorf("%w: %s is compressed with %s: expected a tar archive in it, found %s", ErrFormat, a.name, tool, a.describe(head, -1, tool))
}

// failed is what cannot be read.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// Walk calls fn for every file and link, in the order of the archive, with
// count told of every byte read. What fn leaves of a content is skipped.
// Errors about the archive match [ErrFormat].
func (a *Archive) Walk(ctx context.Context, count func(n int), fn func(Entry) error) error {
	if a.dir != nil {
		if err := a.walkDir(ctx, count, fn); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		return nil
	}
	r := &contextReader{ctx: ctx, r: a.stream, count: count}
	if a.seekable != nil {
		if _, err := a.seekable.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r.r = bufio.NewReaderSize(a.seekable, readBuffer)
	}
	if err := walkTar(r, fn); err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	return nil
}

// ReadSmall reads the content of an entry of at most limit bytes.
func ReadSmall(e Entry, limit int64) ([]byte, error) {
	if e.Size > limit {
		return nil, fmt.Errorf("%w: entry %s has %d bytes, at most %d are allowed", ErrFormat, e.Name, e.Size, limit)
	}
	data := make([]byte, e.Size)
	if _, err := io.ReadFull(e.Content, data); err != nil {
		return nil, fmt.Errorf("%w: entry %s ends early: %v", ErrFormat, e.Name, err)
	}
	return data, nil
}

// CleanName makes an entry's name relative and canonical, or refuses it. A
// backslash separates, too, and a slash in front is left out, as tar does.
func CleanName(name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("%w: entry %q… has a name of %d bytes, at most %d are allowed", ErrFormat, name[:40], len(name), maxName)
	}
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: entry %q has a zero byte in its name", ErrFormat, name)
	}
	clean := path.Clean(strings.TrimLeft(strings.ReplaceAll(name, `\`, "/"), "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("%w: entry %q lies outside the archive", ErrFormat, name)
	}
	return clean, nil
}

type contextReader struct {
	ctx   context.Context
	r     io.Reader
	count func(int)
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if c.count != nil {
		c.count(n)
	}
	if err != nil && err != io.EOF && c.ctx.Err() != nil {
		err = context.Cause(c.ctx)
	}
	return n, err
}
