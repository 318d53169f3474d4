// Package forms gives an image archive every form in which publish takes one, so
// that tests can tell whether all of them are published alike.
package forms

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/image2ipfs/image2ipfs/archive"
)

// Form is one way in which an archive is handed over.
type Form struct {
	Name string // for humans, such as "tar.zst from a pipe"
	Path string // of the file or directory
	Pipe bool   // what is in the file comes by standard input
}

// Use opens the archive in this form for use, and ends what feeds it. While it is
// used a pipe is the program's standard input: no two are used at once. Errors
// name every form's input INPUT.
func (f Form) Use(use func(*archive.Archive) error) error {
	arg := f.Path
	if f.Pipe {
		arg = "-"
		in, out, err := os.Pipe()
		if err != nil {
			return err
		}
		before := os.Stdin
		os.Stdin = in
		var fed sync.WaitGroup
		fed.Go(func() { f.feed(out) })
		defer func() {
			os.Stdin = before
			_ = in.Close() // who reads no more ends the writer
			fed.Wait()
		}()
	}
	a, err := archive.Open(arg)
	if err == nil {
		err = errors.Join(use(a), a.Close())
	}
	if err == nil {
		return nil
	}
	return alike{err, strings.NewReplacer("standard input", "INPUT", f.Path, "INPUT").Replace(err.Error())}
}

// feed writes the file to a pipe, as far as that is read.
func (f Form) feed(to *os.File) {
	defer to.Close()
	if from, err := os.Open(f.Path); err == nil {
		_, _ = io.Copy(to, from)
		_ = from.Close()
	}
}

// alike is an error whose text does not tell how the archive came.
type alike struct {
	error
	text string
}

func (a alike) Error() string { return a.text }
func (a alike) Unwrap() error { return a.error }

// File and Directory name the forms that tests begin with.
const (
	File      = "tar from a file"
	Directory = "directory"
)

// Of makes every form of the archive at source, a plain tar or a directory, below
// dir: a directory, and as file and from a pipe a tar, plain and compressed; the
// file first. A tar with a name that leads out of it has no directory. Without the
// program bzip2 there is no .tar.bz2, which libraries only read.
func Of(source, dir string) ([]Form, error) {
	all, err := Plain(source, dir)
	if err != nil {
		return nil, err
	}
	for ending, compress := range compressors {
		path := filepath.Join(dir, "app.tar."+ending)
		if err := compressed(all[0].Path, path, compress); errors.Is(err, exec.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, Form{Name: "tar." + ending + " from a file", Path: path}, Form{Name: "tar." + ending + " from a pipe", Path: path, Pipe: true})
	}
	return all, nil
}

// Plain makes the forms that are not compressed.
func Plain(source, dir string) ([]Form, error) {
	plain, tree := source, source
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		plain = filepath.Join(dir, "app.tar")
		err = pack(source, plain)
	} else {
		tree = filepath.Join(dir, "tree")
		err = unpack(source, tree)
	}
	if errors.Is(err, errOutside) {
		tree, err = "", nil
	}
	if err != nil {
		return nil, err
	}
	all := []Form{{Name: File, Path: plain}, {Name: "tar from a pipe", Path: plain, Pipe: true}}
	if tree != "" {
		all = append(all, Form{Name: Directory, Path: tree})
	}
	return all, nil
}

var compressors = map[string]func(to io.Writer, from io.Reader) error{
	"gz":  func(to io.Writer, from io.Reader) error { return through(gzip.NewWriter(to), from) },
	"lz4": func(to io.Writer, from io.Reader) error { return through(lz4.NewWriter(to), from) },
	"zst": func(to io.Writer, from io.Reader) error {
		z, err := zstd.NewWriter(to)
		if err != nil {
			return err
		}
		return through(z, from)
	},
	"bz2": func(to io.Writer, from io.Reader) error {
		cmd := exec.Command("bzip2", "-c")
		cmd.Stdin, cmd.Stdout = from, to
		return cmd.Run()
	},
}

func through(z io.WriteCloser, from io.Reader) error {
	_, err := io.Copy(z, from)
	return errors.Join(err, z.Close())
}

func compressed(from, to string, compress func(io.Writer, io.Reader) error) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(compress(out, in), out.Close())
}

// pack makes a tar of a directory.
func pack(dir, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), out.Close())
}

var errOutside = errors.New("a name leads out of the archive")

// unpack writes a tar to a directory as tar does: the last of several entries of one
// name is what stays. Links are made as they are, wherever they lead.
func unpack(archive, dir string) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(path.Clean(h.Name)) {
			return errOutside
		}
		if err := put(filepath.Join(dir, filepath.FromSlash(h.Name)), dir, h, r); err != nil {
			return err
		}
	}
}

func put(at, dir string, h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeDir {
		return os.MkdirAll(at, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, at)
	case tar.TypeLink:
		return os.Link(filepath.Join(dir, filepath.FromSlash(h.Linkname)), at)
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
