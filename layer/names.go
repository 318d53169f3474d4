package layer

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Bounds of names.
const (
	maxName  = 4096     // bytes of one, as of a path on Linux
	maxNames = 64 << 20 // bytes of all in a zstd:chunked layer: tar-split keeps them
)

// named is what is kept of an entry whose name is known.
type named struct {
	isDir  bool
	attrs  nameKey // rights, owner and time
	xattrs nameKey // zero for none
}

func namedOf(e tocEntry) named {
	n := named{isDir: e.Type == typeDir, attrs: hashOf(tocEntry{Mode: e.Mode & 0o7777, UID: e.UID, GID: e.GID, ModTime: e.ModTime})}
	if len(e.Xattrs) > 0 {
		n.xattrs = hashOf(tocEntry{Xattrs: e.Xattrs})
	}
	return n
}

// register notes a name. Readers of an index see the tree that its names make,
// once each; engines see what the entries do one after the other.
func (s *scanner) register(e tocEntry) error {
	name, is := cleanName(e.Name), namedOf(e)
	if len(e.Name) > maxName {
		return fmt.Errorf("its name has %d bytes, more than the %d of a path", len(e.Name), maxName)
	}
	if s.text += len(e.Name); s.apart && s.text > maxNames {
		return fmt.Errorf("the layer has more than %d MiB of names", maxNames>>20)
	}
	if err := s.sameForAll(e, name); err != nil {
		return err
	}
	if name == "" && !is.isDir {
		return errors.New("the root is no directory")
	}
	was, known := s.names[key(name)]
	if known && (!is.isDir || !was.isDir) {
		return errors.New("the name is there twice")
	}
	if none := (nameKey{}); known && s.own && was.xattrs != none && was.xattrs != is.xattrs {
		return errors.New("the directory is there twice, first with extended attributes that it keeps where the layer is unpacked")
	}
	if e.Type == typeLink {
		to, known := s.names[key(cleanName(e.LinkName))]
		if !known || to.isDir {
			return fmt.Errorf("it is a hard link to %q, which is no file before it in this layer", e.LinkName)
		}
		if none := (nameKey{}); s.own && (is.attrs != to.attrs || is.xattrs != none && is.xattrs != to.xattrs) {
			return fmt.Errorf("it is a hard link to %q with other attributes, which that gets where the layer is unpacked", e.LinkName)
		}
		is = to
	}
	s.names[key(name)] = is
	return s.parents(name)
}

// parents notes the directories that a name lies in.
func (s *scanner) parents(name string) error {
	if name == "" {
		return nil
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		is, known := s.names[key(dir)]
		if known && !is.isDir {
			return fmt.Errorf("it lies below %q, which is no directory", dir)
		}
		if known {
			break
		}
		if s.apart {
			return fmt.Errorf("it lies in %q, which no entry before describes: podman would give that no permissions", dir)
		}
		s.names[key(dir)] = named{isDir: true}
	}
	return nil
}

// hidden are the names at the root that stargz-snapshotter does not show.
var hidden = []string{".prefetch.landmark", ".no.prefetch.landmark", ".stargz-snapshotter"}

// sameForAll refuses names of which a lazy mount, or podman file by file, makes another
// tree than an ordinary pull, or none.
func (s *scanner) sameForAll(e tocEntry, name string) error {
	if !s.own {
		return nil
	}
	first, _, _ := strings.Cut(name, "/")
	for _, h := range hidden {
		if first == h {
			return fmt.Errorf("stargz-snapshotter does not show %q at the root", h)
		}
	}
	dir, base := path.Split(name)
	gone, isWhiteout := strings.CutPrefix(base, whiteoutPrefix)
	if strings.HasPrefix(dir, whiteoutPrefix) || strings.Contains(dir, "/"+whiteoutPrefix) || isWhiteout && e.Type == typeDir {
		return errors.New("a whiteout is a directory")
	}
	if _, known := s.names[key(dir+gone)]; known && isWhiteout {
		return fmt.Errorf("it removes %q, which this layer has before it", dir+gone)
	}
	if !s.apart {
		return nil
	}
	if _, known := s.names[key(dir+whiteoutPrefix+base)]; known {
		return errors.New("a whiteout of it stands before it, where podman fails")
	}
	for _, text := range []string{e.Name, e.LinkName} {
		if strings.Contains("/"+text+"/", "/../") && (text == e.Name || e.Type == typeLink) {
			return fmt.Errorf("%q goes up, where podman fails", text)
		}
	}
	if strings.HasSuffix(e.Name, "/") && e.Type != typeDir {
		return errors.New("a slash ends its name, and it is no directory, where podman fails")
	}
	if _, unnamed := e.Xattrs[""]; unnamed {
		return errors.New("an extended attribute has no name, where podman stops reading")
	}
	return nil
}
