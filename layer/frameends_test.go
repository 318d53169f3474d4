package layer

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A frame of no bytes belongs to what it follows, as podman writes it behind a file whose
// last part ends where the file does; frames with bytes, and skippable ones, do not.
func TestFramesOfNothing(t *testing.T) {
	e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	data, none := e.EncodeAll([]byte("data"), nil), e.EncodeAll(nil, nil)
	one := e.EncodeAll([]byte("1"), nil)
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		next []byte
		more int
	}{
		"nothing":           {nil, 0},
		"a frame of none":   {none, len(none)},
		"two frames":        {append(bytes.Clone(none), data...), len(none)},
		"a byte":            {one, 0},
		"more":              {data, 0},
		"a skippable frame": {skippable, 0},
		"half a frame":      {none[:len(none)-5], 0},
	} {
		z, err := newZstdFrames(bytes.NewReader(append(bytes.Clone(data), c.next...)))
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := z.next(); err != nil || string(got) != "data" {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		if got, want := z.ends(), [2]int64{int64(len(data)), int64(len(data) + c.more)}; got != want {
			t.Errorf("%s: ends at %d, want %d", name, got, want)
		}
	}
}
