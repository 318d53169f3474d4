package publish

import (
	"errors"
	"fmt"

	"github.com/image2ipfs/image2ipfs/oci"
)

// ErrArchive is matched by errors about an archive whose contents do not fit
// together: what it lacks or what is damaged in it. Errors that match it match
// [oci.ErrCorrupt] or [oci.ErrNotFound] besides.
var ErrArchive = errors.New("broken image archive")

// storeError is an error of the store that is published on, which may be damaged
// itself: the archive is not to blame.
type storeError struct{ error }

func (s storeError) Unwrap() error { return s.error }

// ofStore marks an error as the store's; nil stays nil.
func ofStore(err error) error {
	if err == nil {
		return nil
	}
	return storeError{err}
}

// blamed has an error match [ErrArchive] if it is the archive's.
func blamed(err error) error {
	var store storeError
	if !errors.Is(err, oci.ErrCorrupt) && !errors.Is(err, oci.ErrNotFound) || errors.As(err, &store) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrArchive, err)
}
