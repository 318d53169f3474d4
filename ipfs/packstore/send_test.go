package packstore_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// onlyReaderFrom is a connection as far as Send is concerned, and fails after
// a number of calls.
type onlyReaderFrom struct {
	bytes.Buffer
	calls, fail int
}

var errGone = errors.New("client has gone")

func (o *onlyReaderFrom) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("not a limited reader")
	}
	if _, ok := l.R.(*os.File); !ok {
		return 0, errors.New("not a file: the kernel cannot send it")
	}
	if o.calls++; o.calls == o.fail {
		return 0, errGone
	}
	return o.Buffer.ReadFrom(r)
}

// A file must come out the same whether its blocks are sent by the kernel or
// copied, from any offset.
func TestSend(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	want := storetest.Random(5<<20+300, "sent")
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: link.CID}); err != nil {
		t.Fatal(err)
	}
	none := open(t, newPath(t))
	for _, g := range []ipfs.Getter{s, ipfs.First(s, none), ipfs.First(none, s)} {
		for _, start := range []int64{0, 1, 1<<20 - 1, 1 << 20, 3<<20 + 7, 5 << 20, 5<<20 + 299} {
			var w onlyReaderFrom
			f := openAt(t, g, link, start)
			if n, err := f.WriteTo(&w); err != nil || n != int64(len(want))-start || !bytes.Equal(w.Bytes(), want[start:]) {
				t.Errorf("from %d: %d bytes, %v", start, n, err)
			}
			if start == 0 && w.calls != 5 {
				t.Errorf("%d blocks were sent, want 5 of 1 MiB", w.calls)
			}
		}
		w := onlyReaderFrom{fail: 3}
		if n, err := openAt(t, g, link, 0).WriteTo(&w); !errors.Is(err, errGone) || n != 2<<20 {
			t.Errorf("client that goes away: %d bytes, %v", n, err)
		}
	}
	if n, err := openAt(t, ipfs.First(none, s), link, 0).WriteTo(&bytes.Buffer{}); err != nil || n != int64(len(want)) {
		t.Errorf("from the second source: %d bytes, %v", n, err)
	}
	if _, err := none.Send(t.Context(), link.CID, 0, &onlyReaderFrom{}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("missing block: %v", err)
	}
}

func openAt(t *testing.T, g ipfs.Getter, link ipfs.Link, start int64) *ipfs.File {
	t.Helper()
	f, err := ipfs.OpenFile(t.Context(), g, link.CID, 0)
	if err == nil {
		_, err = f.Seek(start, io.SeekStart)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
