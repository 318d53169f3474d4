package archive

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// walkDir goes through a directory in lexical order. Symbolic links that stay
// inside are links; os.Root refuses to follow the others.
func (a *Archive) walkDir(ctx context.Context, count func(int), fn func(Entry) error) error {
	read := func(n int) {
		if count != nil {
			count(n)
		}
	}
	return a.eachInDir(ctx, func(e Entry, isLink bool) error {
		if isLink {
			return fn(e)
		}
		return a.openInDir(e.Name, func(r io.Reader) io.Reader {
			return &contextReader{ctx: ctx, r: r, count: read}
		}, fn)
	})
}

// eachInDir names what is in a directory, with the targets of links.
func (a *Archive) eachInDir(ctx context.Context, fn func(e Entry, isLink bool) error) error {
	seen := names{}
	return fs.WalkDir(a.dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if d.IsDir() {
			return nil
		}
		e := Entry{Name: name}
		if _, err := seen.add(e); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		isLink := d.Type() == fs.ModeSymlink
		if isLink {
			target, err := a.dir.Readlink(name)
			if err != nil {
				return err
			}
			e.Link, e.Refused = linkTarget(name, path.Dir(name), target)
		}
		return fn(e, isLink)
	})
}

// openInDir calls fn with the file name of a directory archive.
func (a *Archive) openInDir(name string, wrap func(io.Reader) io.Reader, fn func(Entry) error) (err error) {
	info, err := a.dir.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		return fn(Entry{Name: name, Refused: fmt.Errorf("%w: %s is neither file, directory nor link", ErrFormat, name)})
	}
	f, err := a.dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var content io.Reader = f
	if wrap != nil {
		content = wrap(f)
	}
	return fn(Entry{Name: name, Size: info.Size(), Content: io.LimitReader(content, info.Size())})
}

func dirSize(root *os.Root) int64 {
	var size int64
	err := fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return -1
	}
	return size
}
