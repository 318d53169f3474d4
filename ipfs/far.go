package ipfs

import (
	"errors"
	"fmt"
	"time"
)

// What a [Getter] that is far away can tell besides, for those who choose among
// several.

// ErrOneBlock is matched by errors that match [ErrUnavailable] and are about one
// block alone: the source works, and may give others.
var ErrOneBlock = errors.New("no answer for this block")

// OneBlock makes err match [ErrOneBlock] besides.
func OneBlock(err error) error { return oneBlockError{err} }

type oneBlockError struct{ error }

func (oneBlockError) Is(target error) bool { return target == ErrOneBlock }
func (o oneBlockError) Unwrap() error      { return o.error }

// BusyError is part of errors of a source that asks to be left alone for a
// while. It matches [ErrUnavailable].
type BusyError struct {
	Until time.Time
}

func (b *BusyError) Error() string {
	return fmt.Sprintf("retry after %s", max(0, time.Until(b.Until)).Round(time.Second))
}

// Is makes a BusyError match [ErrUnavailable].
func (b *BusyError) Is(target error) bool { return target == ErrUnavailable }

// BusyUntil tells whether err is that of a source which wants to be left alone,
// and until when.
func BusyUntil(err error) (time.Time, bool) {
	if busy, ok := errors.AsType[*BusyError](err); ok {
		return busy.Until, true
	}
	return time.Time{}, false
}
