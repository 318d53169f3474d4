package main

import (
	"errors"
	"io/fs"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/backup"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/source"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Exit codes of every subcommand.
const (
	exitOK          = 0   // done
	exitFailed      = 1   // any other failure
	exitUsage       = 2   // flags or arguments are wrong
	exitNotFound    = 3   // a file, name, root or blob is not there
	exitIntegrity   = 4   // bytes are not what their CID or digest says
	exitUnreachable = 5   // no IPFS daemon, peer, gateway, registry or container engine answers
	exitArchive     = 6   // the input is no image archive or backup, or a broken one
	exitUntrusted   = 7   // it is not signed by a key that was given
	exitInterrupted = 130 // ended by Ctrl-C or SIGTERM
)

const exitCodeHelp = `Exit codes:
  0    done
  1    any other failure
  2    wrong flags or arguments
  3    a file, name, root or blob is not there
  4    bytes are not what their CID or digest says, once published
  5    no IPFS daemon, peer, gateway or registry answers, or no container engine
  6    the input is no image archive or backup, or a broken one
  7    it is not signed by a key that was given
  130  interrupted`

var errInterrupted = errors.New("interrupted")

// usageError is an error about how the command was called.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// exitCode gives the exit code for an error, exitOK for nil.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage), errors.Is(err, publish.ErrNotEmpty), errors.Is(err, ref.ErrNotRoot), errors.Is(err, ref.ErrInvalidName),
		errors.Is(err, pull.ErrTarget), errors.Is(err, source.ErrSpelling), errors.Is(err, trust.ErrKey):
		return exitUsage
	case errors.Is(err, trust.ErrUntrusted):
		return exitUntrusted
	case errors.Is(err, archive.ErrFormat), errors.Is(err, dockerarchive.ErrInvalid),
		errors.Is(err, dockerarchive.ErrMissing), errors.Is(err, publish.ErrArchive), errors.Is(err, backup.ErrFormat), errors.Is(err, names.ErrKeysFile):
		return exitArchive
	case errors.Is(err, oci.ErrCorrupt):
		return exitIntegrity
	case errors.Is(err, ipfs.ErrUnavailable), errors.Is(err, engine.ErrNone):
		return exitUnreachable
	case errors.Is(err, oci.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	}
	return exitFailed
}
