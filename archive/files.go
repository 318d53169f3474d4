package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
)

// Files reads the beginnings of an archive's files in any order, before Walk. It
// has no cache.
type Files struct {
	a       *Archive
	entries map[string]place // of tars
	links   Links
	paths   map[string]string // of directories: where a file lies whose entry has another name
}

// place is where a content lies in a tar.
type place struct{ at, size int64 }

// Files looks over an archive without reading its contents. It is nil for pipes
// and compressed archives, where that would consume them.
func (a *Archive) Files(ctx context.Context) (*Files, error) {
	if a.dir != nil {
		return a.filesOfDir(ctx)
	}
	if a.seekable == nil {
		return nil, nil
	}
	if _, err := a.seekable.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f := &Files{a: a, entries: map[string]place{}, links: Links{}}
	in := &seekReader{contextReader{ctx: ctx, r: a.seekable}, a.seekable}
	err := walkTar(in, func(e Entry) error {
		switch {
		case e.Again || e.Refused != nil:
		case e.Link != "":
			f.links[e.Name] = e.Link
		case !e.sparse:
			at, err := a.seekable.Seek(0, io.SeekCurrent)
			f.entries[e.Name] = place{at, e.Size}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	return f, nil
}

func (a *Archive) filesOfDir(ctx context.Context) (*Files, error) {
	f := &Files{a: a, links: Links{}, paths: map[string]string{}}
	err := a.eachInDir(ctx, func(e Entry, path string, _ bool) error {
		if path != e.Name && !e.Again {
			f.paths[e.Name] = path
		}
		if e.Link != "" && e.Refused == nil {
			f.links[e.Name] = e.Link
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	return f, nil
}

// Links are those of the archive.
func (f *Files) Links() Links { return f.links }

// Head gives the first bytes of a file, at most limit, and its size; ok is false
// for what is not there or cannot be read. Links are followed.
func (f *Files) Head(name string, limit int64) (head []byte, size int64, ok bool) {
	name, err := CleanName(name)
	if err != nil {
		return nil, 0, false
	}
	if f.a.dir != nil {
		return f.inDir(name, limit)
	}
	name, ok, err = f.links.Resolve(name, func(n string) bool { _, ok := f.entries[n]; return ok })
	if err != nil || !ok {
		return nil, 0, false
	}
	p := f.entries[name]
	return begin(io.NewSectionReader(f.a.seekable, p.at, p.size), p.size, limit)
}

func (f *Files) inDir(name string, limit int64) ([]byte, int64, bool) {
	if path, ok := f.paths[name]; ok {
		name = path
	}
	info, err := f.a.dir.Stat(name)
	if err != nil || !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		return nil, 0, false
	}
	file, err := f.a.dir.Open(name)
	if err != nil {
		return nil, 0, false
	}
	defer file.Close()
	return begin(file, info.Size(), limit)
}

func begin(r io.Reader, size, limit int64) ([]byte, int64, bool) {
	head := make([]byte, min(size, limit))
	_, err := io.ReadFull(r, head)
	return head, size, err == nil
}

// seekReader lets archive/tar skip contents.
type seekReader struct {
	contextReader
	io.Seeker
}

// Seek refuses an entry that says a size which no file can have.
func (s *seekReader) Seek(offset int64, whence int) (int64, error) {
	at, err := s.Seeker.Seek(offset, whence)
	if err != nil && whence == io.SeekCurrent && offset > 0 {
		err = fmt.Errorf("%w: an entry says that it has %d bytes or more: the archive is damaged, save the image again: %w", ErrFormat, offset, err)
	}
	return at, err
}

// isSparse tells an entry whose holes are not in the archive.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if len(key) > 11 && key[:11] == "GNU.sparse." {
			return true
		}
	}
	return false
}
