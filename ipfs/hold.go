package ipfs

import (
	"bytes"
	"context"
	"fmt"

	"github.com/image2ipfs/image2ipfs/oci"
)

// Room is what may be held of what others publish, by all who read at once.
type Room interface {
	// Reading waits for n bytes of a content that is on its way, Decoding for n
	// that are made of one that has come: whoever waits for the second may hold
	// the first, and not the other way round. Errors match those of ctx.
	Reading(ctx context.Context, n int64) (release func(), err error)
	Decoding(ctx context.Context, n int64) (release func(), err error)
}

type roomKey struct{}

// WithRoom has small files that are read under ctx, and what is made of them,
// held within m. Without it they are held as they come.
func WithRoom(ctx context.Context, m Room) context.Context {
	return context.WithValue(ctx, roomKey{}, m)
}

func free() {}

// HoldReading waits for the memory of a file of n bytes.
func HoldReading(ctx context.Context, n int64) (release func(), err error) {
	if m, ok := ctx.Value(roomKey{}).(Room); ok {
		return m.Reading(ctx, n)
	}
	return free, nil
}

// maxJSONWeight is what a manifest or index may take when it is decoded, in bytes: more
// than one full of descriptors and annotations as people write them.
const maxJSONWeight = 48 << 20

// HoldDecoding waits for the memory that JSON takes when it is decoded. What takes more
// than any manifest that means something is refused; the error matches [oci.ErrLimit].
func HoldDecoding(ctx context.Context, json []byte) (release func(), err error) {
	if weight := JSONWeight(json); weight > maxJSONWeight {
		return nil, fmt.Errorf("%w: JSON of %d bytes takes some %d MiB when it is decoded, at most %d are allowed", oci.ErrLimit, len(json), weight>>20, maxJSONWeight>>20)
	}
	if m, ok := ctx.Value(roomKey{}).(Room); ok {
		return m.Decoding(ctx, JSONWeight(json))
	}
	return free, nil
}

// JSONWeight is about how many bytes of memory JSON takes when it is decoded into
// Go's maps, slices and strings: empty strings, short keys and empty objects, each of
// which becomes a descriptor, take many times what they have in the text.
func JSONWeight(json []byte) int64 {
	count := func(c byte) int64 { return int64(bytes.Count(json, []byte{c})) }
	return int64(2*len(json)) + 96*(count(',')+count(':')) + 160*count('{')
}
