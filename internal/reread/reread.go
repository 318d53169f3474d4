// Package reread keeps what lies in files that others change while a program runs: a
// certificate that is renewed, a list of passwords.
package reread

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/silent"
)

// Pause is how often files are looked at, at most.
const Pause = time.Second

// Value is what was read from files. It is safe for concurrent use.
type Value[T any] struct {
	what  string
	read  func() (T, error)
	log   *slog.Logger
	files []string

	mu     sync.Mutex
	looked time.Time
	loaded []stamp // of the files when they were last read
	value  T
}

// stamp tells one version of a file from another.
type stamp struct {
	size int64
	time time.Time
}

// Open reads a value from files; the error is read's. From then on they are read again
// when they change; what is no regular file, such as a named pipe, is not. As long as what is there then is of no use the old value stays,
// and log is told so; what names the value there.
func Open[T any](log *slog.Logger, what string, read func() (T, error), files ...string) (*Value[T], error) {
	v := &Value[T]{what: what, read: read, log: silent.Logger(log), files: files}
	if err := v.load(v.stamps()); err != nil {
		return nil, err
	}
	v.looked = time.Now()
	return v, nil
}

// Get gives the value that the files have, or had at most [Pause] ago.
func (v *Value[T]) Get() T {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.looked) < Pause {
		return v.value
	}
	v.looked = time.Now()
	now := v.stamps()
	if slices.Equal(now, v.loaded) {
		return v.value
	}
	if err := v.load(now); err != nil {
		v.log.Warn("a changed file is of no use, what it had before stays", "file", v.files[0], "of", v.what, "error", err)
	} else {
		v.log.Info("a changed file was read again", "file", v.files[0], "of", v.what)
	}
	return v.value
}

// load reads the files. They may change meanwhile: now is from before, so that the
// next look sees that.
func (v *Value[T]) load(now []stamp) error {
	v.loaded = now
	value, err := v.read()
	if err == nil {
		v.value = value
	}
	return err
}

func (v *Value[T]) stamps() []stamp {
	all := make([]stamp, len(v.files))
	for i, file := range v.files {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() { // what is none can be read once
			all[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return all
}
