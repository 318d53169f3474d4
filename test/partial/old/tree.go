package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// sameTree compares the entries of a tar with what lies below root: types, modes,
// owners, contents, links. Devices and pipes are left out of partial pulls.
func sameTree(root, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	names := 0
	for r := tar.NewReader(f); ; names++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = sameEntry(root, h, r)
		}
		if err != nil {
			return err
		}
	}
	if names == 0 {
		return fmt.Errorf("%s has no entries", file)
	}
	return nil
}

func sameEntry(root string, h *tar.Header, data io.Reader) error {
	path := filepath.Join(root, h.Name)
	base := filepath.Base(h.Name)
	switch {
	case h.Typeflag == tar.TypeFifo || h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || len(base) > 4 && base[:4] == ".wh.":
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		to, err := os.Lstat(filepath.Join(root, h.Linkname))
		if err == nil && !os.SameFile(info, to) {
			err = fmt.Errorf("%s is no hard link to %s", h.Name, h.Linkname)
		}
		return err
	}
	want := h.FileInfo().Mode()
	const bits = os.ModeType | os.ModePerm | os.ModeSetuid | os.ModeSetgid | os.ModeSticky
	if filepath.Clean(h.Name) != "." && info.Mode()&bits != want&bits {
		return fmt.Errorf("%s has mode %v, want %v", h.Name, info.Mode(), want)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != h.Uid || int(s.Gid) != h.Gid {
		return fmt.Errorf("%s has another owner than %d:%d", h.Name, h.Uid, h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		to, err := os.Readlink(path)
		if err == nil && to != h.Linkname {
			err = fmt.Errorf("%s leads to %s, want %s", h.Name, to, h.Linkname)
		}
		return err
	case tar.TypeReg:
		return sameContent(path, data)
	}
	return nil
}

func sameContent(path string, data io.Reader) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, want := sha256.New(), sha256.New()
	if _, err := io.Copy(got, f); err != nil {
		return err
	}
	if _, err := io.Copy(want, data); err != nil {
		return err
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return fmt.Errorf("%s has another content", path)
	}
	return nil
}
