package page

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// It is told whether there are no others, none was compared, or nothing is shared: what was
// not compared is not said to share nothing.
func TestSharingSaysWhy(t *testing.T) {
	blocks := testlayout.NewBlocks()
	image := func(content string) cid.Cid {
		l := testlayout.New(t, blocks)
		return l.Publish(l.Image("amd64", []byte(content)))
	}
	one, other, third := image("one"), image("other"), image("third")
	damaged := testlayout.NewBlocks()
	blocks.CopyTo(damaged)
	damaged.Drop(other)
	for _, row := range []struct {
		blocks ipfs.Getter
		roots  []cid.Cid
		want   string
	}{
		{blocks, []cid.Cid{one}, "There is no other image here."},
		{damaged, []cid.Cid{one, other}, "It was not compared with the 1 other image here: of 1: it is damaged, or not whole."},
		{blocks, []cid.Cid{one, other}, "the one other image"},
		{damaged, []cid.Cid{one, other, third}, "1 more was left out: of 1: it is damaged, or not whole."},
	} {
		w, err := ask(t.Context(), pageOfRoots(row.blocks, row.roots...), "?root="+ref.Ciq(one))
		text := strings.Join(strings.Fields(w.Body.String()), " ")
		_, text, _ = strings.Cut(text, `<h2 id="shares">`)
		text, _, _ = strings.Cut(text, "</section>")
		if err != nil || !strings.Contains(text, row.want) {
			t.Errorf("of %d: %v, %s, want %q", len(row.roots), err, text, row.want)
		}
	}
	for _, row := range []struct {
		err  error
		want string
	}{{errManyBlocks, fmt.Sprint(maxShareBlocks)}, {errors.New("/secret: I/O error"), "cannot be read at the moment"}, {ipfs.ErrUnavailable, "at the moment"}} {
		if got := whyNot(row.err); !strings.Contains(got, row.want) || strings.Contains(got, "secret") {
			t.Errorf("%v: %q", row.err, got)
		}
	}
}
