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
	return a.eachInDir(ctx, func(e Entry, path string, isLink bool) error {
		if isLink {
			return fn(e)
		}
		return a.openInDir(e, path, func(r io.Reader) io.Reader {
			return &contextReader{ctx: ctx, r: r, count: read}
		}, fn)
	})
}

// eachInDir names what is in a directory, with the targets of links. An entry's
// name may be another than its path: a backslash in a file's name separates, as it
// does in the tar that the directory was unpacked from.
func (a *Archive) eachInDir(ctx context.Context, fn func(e Entry, path string, isLink bool) error) error {
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
		clean, err := CleanName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		e := Entry{Name: clean}
		if e.Again, err = seen.add(e); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		isLink := d.Type() == fs.ModeSymlink
		if isLink {
			target, err := a.dir.Readlink(name)
			if err != nil {
				return err
			}
			e.Link, e.Refused = linkTarget(clean, path.Dir(clean), target)
		}
		return fn(e, name, isLink)
	})
}

// openInDir calls fn with an entry of a directory archive, the file at path.
func (a *Archive) openInDir(e Entry, path string, wrap func(io.Reader) io.Reader, fn func(Entry) error) (err error) {
	info, err := a.dir.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		e.Refused = fmt.Errorf("%w: %s is neither file, directory nor link", ErrFormat, e.Name)
		return fn(e)
	}
	f, err := a.dir.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var content io.Reader = f
	if wrap != nil {
		content = wrap(f)
	}
	e.Size, e.Content = info.Size(), io.LimitReader(content, info.Size())
	return fn(e)
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
