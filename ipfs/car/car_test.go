package car

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

var contents = [][]byte{[]byte("one block"), {}, bytes.Repeat([]byte("x"), 1<<20)}

// write makes a CAR of contents, each changed after its CID was made.
func write(t testing.TB, change func(data []byte) []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w *Writer
	for _, data := range contents {
		c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(data)
		if err == nil && w == nil {
			w, err = NewWriter(&b, c)
		}
		if err == nil {
			err = w.Block(c, change(bytes.Clone(data)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func same(data []byte) []byte { return data }

func read(data []byte, yield func(cid.Cid, []byte) error) error {
	return Read(bufio.NewReader(bytes.NewReader(data)), yield)
}

// What is written is read back, here and by others.
func TestWriteAndRead(t *testing.T) {
	whole := write(t, same)
	i := 0
	err := read(whole, func(_ cid.Cid, data []byte) error {
		if !bytes.Equal(data, contents[i]) {
			t.Errorf("block %d has %d bytes, want %d", i, len(data), len(contents[i]))
		}
		i++
		return nil
	})
	if err != nil || i != len(contents) {
		t.Errorf("%d blocks of %d, %v", i, len(contents), err)
	}
	other, err := carv2.NewBlockReader(bytes.NewReader(whole))
	if err != nil || other.Version != 1 || len(other.Roots) != 1 {
		t.Fatalf("go-car: %v", err)
	}
	for i, want := range contents {
		if b, err := other.Next(); err != nil || !bytes.Equal(b.RawData(), want) {
			t.Errorf("go-car reads block %d: %v", i, err)
		}
	}
}

// Kubo is sent CARs of several roots, and of none, that it reads with other code.
func TestRoots(t *testing.T) {
	for _, n := range []int{0, 1, 2, maxRoots, maxRoots + 1} {
		var roots []cid.Cid
		for i := range n {
			c, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}.Sum([]byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, c)
		}
		var b bytes.Buffer
		if _, err := NewWriter(&b, roots...); err != nil {
			if n <= maxRoots {
				t.Errorf("%d roots: %v", n, err)
			}
			continue
		}
		written := bytes.Clone(b.Bytes())
		r, err := carv2.NewBlockReader(&b)
		if err != nil || !slices.Equal(r.Roots, roots) {
			t.Errorf("%d roots are not read back: %v", n, err)
		}
		own, err := NewReader(bufio.NewReader(bytes.NewReader(written)), MaxSection)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := own.Roots(); err != nil || !slices.Equal(got, roots) {
			t.Errorf("%d roots: %v, %v", n, got, err)
		}
	}
}

// A store that reads its own packs must not take another file, or a damaged one,
// for one of them: whatever is cut off or changed in a header is found out.
func TestFalseHeaders(t *testing.T) {
	c := cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
	header, err := Header(c)
	if err != nil {
		t.Fatal(err)
	}
	roots := func(section []byte) ([]cid.Cid, error) {
		r, err := NewReader(bufio.NewReader(bytes.NewReader(append(binary.AppendUvarint(nil, uint64(len(section))), section...))), MaxSection)
		if err != nil {
			return nil, err
		}
		return r.Roots()
	}
	body := header[1:]
	if got, err := roots(body); err != nil || !slices.Equal(got, []cid.Cid{c}) {
		t.Fatalf("%v, %v", got, err)
	}
	for n := range body {
		if got, err := roots(body[:n]); !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("its first %d bytes: %v, %v", n, got, err)
		}
		changed := bytes.Clone(body)
		changed[n] ^= 0x55
		if got, err := roots(changed); err == nil && slices.Equal(got, []cid.Cid{c}) {
			t.Errorf("byte %d changed: not seen", n)
		} else if err != nil && !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("byte %d changed: %v", n, err)
		}
	}
}

// A root whose CID is too long for the header is refused, not cut off.
func TestLongRoot(t *testing.T) {
	for length, want := range map[int]bool{200: true, 300: false} {
		c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.IDENTITY, MhLength: -1}.Sum(make([]byte, length))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err = NewWriter(&b, c); (err == nil) != want {
			t.Errorf("a root of %d bytes: %v", c.ByteLen(), err)
		}
		if want {
			r, err := carv2.NewBlockReader(&b)
			if err != nil || len(r.Roots) != 1 || !r.Roots[0].Equals(c) {
				t.Errorf("a root of %d bytes is not read back: %v", c.ByteLen(), err)
			}
		} else if b.Len() > 0 {
			t.Errorf("%d bytes were written", b.Len())
		}
	}
}

// Every way in which a CAR can be false is found out.
func TestFalseCARs(t *testing.T) {
	whole := write(t, same)
	flip := func(data []byte) []byte { return append([]byte{'!'}, data...) }
	stop := errors.New("enough")
	for name, test := range map[string]struct {
		car  []byte
		want error
	}{
		"empty":          {nil, ipfs.ErrUnavailable},
		"cut":            {whole[:len(whole)-1], ipfs.ErrUnavailable},
		"cut in length":  {append(bytes.Clone(whole), 0x80), ipfs.ErrUnavailable},
		"other content":  {write(t, flip), ipfs.ErrCorrupt},
		"no CID":         {append(bytes.Clone(whole), 2, 0xff, 0xff), ipfs.ErrCorrupt},
		"empty section":  {append(bytes.Clone(whole), 0), ipfs.ErrCorrupt},
		"giant section":  {binary.AppendUvarint(bytes.Clone(whole), 1<<40), ipfs.ErrCorrupt},
		"endless length": {append(bytes.Clone(whole), bytes.Repeat([]byte{0xff}, 20)...), ipfs.ErrUnavailable},
	} {
		if err := read(test.car, func(cid.Cid, []byte) error { return nil }); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if err := read(whole, func(cid.Cid, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want that of yield", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, same)[:200])
	f.Add([]byte{1, 2, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = read(data, func(c cid.Cid, block []byte) error {
			if err := ipfs.VerifyBlock(c, block); err != nil {
				t.Error(err)
			}
			return nil
		})
	})
}
