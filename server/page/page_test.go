package page

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// What is copied into a shell runs a pull, and nothing that a name has in it.
func TestPullLines(t *testing.T) {
	root, err := ref.ParseRoot("ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi")
	if err != nil {
		t.Fatal(err)
	}
	for repository, want := range map[string]string{
		"team/app": "docker pull localhost:5000/" + ref.Ciq(root) + "/team/app",
		"$(rm x)":  "docker pull 'localhost:5000/" + ref.Ciq(root) + "/$(rm x)'",
		"it's;":    `docker pull 'localhost:5000/` + ref.Ciq(root) + `/it'\''s;'`,
	} {
		lines := pullLines(ref.Name{Host: "localhost:5000", Root: root, Repository: repository}, false, false)
		if lines[0].Command != want {
			t.Errorf("%s, want %s", lines[0].Command, want)
		}
		for _, l := range lines {
			if strings.Contains(l.Command, "  ") {
				t.Errorf("%q", l.Command)
			}
		}
	}
	plain := pullLines(ref.Name{Host: "h", Root: root}, false, false)
	secure := pullLines(ref.Name{Host: "h", Root: root}, false, true)
	if !strings.Contains(plain[1].Command, "--tls-verify=false") || strings.Contains(secure[1].Command, "tls-verify") {
		t.Errorf("%v and %v", plain, secure)
	}
}

// A day of traffic is remembered, a gap is a gap, and what is older is forgotten.
func TestTraffic(t *testing.T) {
	var tr Traffic
	begin := time.Date(2026, 1, 1, 10, 3, 0, 0, time.UTC)
	tr.Count(begin, 100)
	tr.Count(begin.Add(time.Minute), 50)
	tr.Stored(begin.Add(2*time.Minute), 2, 1000)
	tr.Count(begin.Add(time.Hour), 1)
	v := tr.view()
	if v.Requests != 3 || v.Bytes != 151 || v.Stored != 1000 || v.Roots != 2 || len(v.Hours) != 2 || v.Hours[0].Bytes != 150 {
		t.Errorf("%+v", v)
	}
	bars := v.Charts[0].Bars
	if len(bars) != 7 || bars[0].Height != chartHeight || bars[3].Height != 0 || bars[6].X+bars[6].Width >= chartWidth {
		t.Errorf("bars %+v", bars)
	}
	tr.Count(begin.Add(240*time.Hour), 7)
	tr.Count(begin.Add(264*time.Hour), 7)
	if v := tr.view(); v.Bytes != 7 || v.Stored != 1000 || len(v.Charts[0].Bars) != maxSamples {
		t.Errorf("after days: %d bytes, %d stored, %d samples", v.Bytes, v.Stored, len(v.Charts[0].Bars))
	}
}

// What can be seen by who cannot see: a copied line is announced, and pushes come also to a
// document that the browser goes back to.
func TestScript(t *testing.T) {
	if !strings.Contains(text, `<p id="said" class="hide" role="status"></p>`) || !strings.Contains(script, "getElementById('said')") || !strings.Contains(script, "announced.textContent = said") {
		t.Error("what is copied is not announced")
	}
	_, opens, _ := strings.Cut(script, "const open = () => {")
	opens, shown, _ := strings.Cut(opens, "\n  }\n")
	for _, want := range []string{"close()", "if (document.hidden) return", "new EventSource('/?view=events&after=' + encodeURIComponent(last))", "readyState === EventSource.CLOSED) again = setTimeout(open,", "lost.hidden = false", "lost.hidden = true"} {
		if !strings.Contains(opens, want) {
			t.Errorf("pushes are listened to without %s", want)
		}
	}
	for _, want := range []string{"addEventListener('pageshow', open)", "addEventListener('pagehide', close)", "addEventListener('visibilitychange'"} {
		if !strings.Contains(shown, want) {
			t.Errorf("pushes are not listened to from pageshow until pagehide, while somebody looks: no %s", want)
		}
	}
	for _, id := range []string{"pushes-lost", "no-pushes", "pushes"} {
		if !strings.Contains(text, `id="`+id+`"`) || !strings.Contains(script, "getElementById('"+id+"')") {
			t.Errorf("the script and the document do not agree about %q", id)
		}
	}
}

// counting counts which blocks were asked for.
type counting struct {
	ipfs.Getter
	seen map[cid.Cid]bool
}

func (c *counting) Get(ctx context.Context, b cid.Cid) ([]byte, error) {
	c.seen[b] = true
	return c.Getter.Get(ctx, b)
}

// No more images are read than an image is compared with.
func TestSharingReadsNoMore(t *testing.T) {
	blocks := testlayout.NewBlocks()
	var kept []ipfs.Root
	for i := range maxCompared + 3 {
		l := testlayout.New(t, blocks)
		kept = append(kept, ipfs.Root{CID: l.Publish(l.Image("amd64", []byte(strconv.Itoa(i))))})
	}
	counted := &counting{blocks, map[cid.Cid]bool{}}
	p := New(Config{Local: counted}, &Traffic{}, &Pushes{})
	s := p.compare(t.Context(), kept[len(kept)-1], kept)
	compared, more := s.Compared, s.More()
	if compared != maxCompared || more != 2 || counted.seen[kept[0].CID] || counted.seen[kept[1].CID] || !counted.seen[kept[2].CID] {
		t.Errorf("compared with %d, %d left out; those read: %t, %t", compared, more, counted.seen[kept[0].CID], counted.seen[kept[1].CID])
	}
}

// One layer is read at a time, and who waits for that does so no longer than they have time.
func TestLayersWaitTheirTurn(t *testing.T) {
	p := New(Config{}, &Traffic{}, &Pushes{})
	end, err := p.layers.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, err := p.layers.list(late, nil, ocispec.Descriptor{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoView) {
		t.Errorf("a list: %v", err)
	}
	if err := p.layers.read(late, &layerView{}, &layer.Listing{}, nil, layer.File{Kind: "reg"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoView) {
		t.Errorf("a file: %v", err)
	}
	end()
	if _, err := p.layers.begin(t.Context()); err != nil {
		t.Error(err)
	}
}

// late is a store that does not give large blocks in time.
type late struct{ ipfs.Getter }

func (l late) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := l.Getter.Get(ctx, c)
	if len(data) > 100_000 {
		return nil, context.DeadlineExceeded
	}
	return data, err
}

// A layer that is not read in time is another thing than one that is malformed.
func TestLayerIsLate(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	data := bytes.Repeat([]byte("this is no tar"), 300_000)
	root := l.Publish(l.Image("amd64", data))
	q := url.Values{"root": {ref.Ciq(root)}, "layer": {digest.FromBytes(data).String()}}
	for _, row := range []struct {
		store ipfs.Getter
		late  bool
	}{{blocks, false}, {late{blocks}, true}} {
		p := New(Config{Local: row.store, Kept: func(context.Context) ([]ipfs.Root, error) { return []ipfs.Root{{CID: root}}, nil }}, &Traffic{}, &Pushes{})
		if _, err := p.layer(t.Context(), q); errors.Is(err, ErrNoView) == row.late || errors.Is(err, context.DeadlineExceeded) != row.late {
			t.Errorf("late %t: %v", row.late, err)
		}
	}
}

// Who does not keep up misses pushes, and holds nobody up.
func TestPushes(t *testing.T) {
	var p Pushes
	l, _, ok := p.listen(nil)
	if !ok {
		t.Fatal("nobody listens, and there is no room")
	}
	for range 3 * listenerRoom {
		p.Tell(Push{Name: "app:1", Size: 2000, New: 10})
	}
	if len(l) != listenerRoom || len(p.Recent()) != maxPushes || p.Recent()[0].Label != "2.0 kB, 10 B of it new" {
		t.Errorf("%d wait, %d are remembered: %+v", len(l), len(p.Recent()), p.Recent()[0])
	}
	p.leave(l)
	p.End()
	if _, _, ok := p.listen(nil); ok {
		t.Error("somebody may listen after the end")
	}
}

// Who comes back is told of what was pushed meanwhile, once, also by a server that was started
// anew; who does not say what he knows of, of what comes.
func TestMissedPushes(t *testing.T) {
	var p Pushes
	for n := range 5 {
		p.Tell(Push{Name: "app:" + strconv.Itoa(n)})
	}
	known := p.Recent()[2].ID // app:2
	for _, row := range []struct{ query, header, want string }{
		{"", "", ""}, {"&after=", "", "01234"}, {"&after=" + known, "", "34"}, {"&after=elsewhere-7", "", "01234"}, {"&after=", known, "34"}, {"&after=" + p.Recent()[0].ID, "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?view=events"+row.query, nil)
		if row.header != "" {
			r.Header.Set("Last-Event-ID", row.header)
		}
		_, missed, _ := p.listen(seen(r))
		got := ""
		for _, push := range missed {
			got += strings.TrimPrefix(push.Name, "app:")
		}
		if got != row.want {
			t.Errorf("%q, %q: told of %q, want %q", row.query, row.header, got, row.want)
		}
	}
}
