package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

func cids(t testing.TB, n int) (all []cid.Cid) {
	t.Helper()
	for i := range n {
		c, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// A list is read as it was written, whatever its length; what is too much or no
// list is refused.
func TestList(t *testing.T) {
	for _, n := range []int{1, 2, maxList} {
		want := cids(t, n)
		text := formatList(want)
		if got, err := parseList(strings.NewReader(text)); err != nil || !slices.Equal(got, want) || len(text) > maxListBytes {
			t.Errorf("%d CIDs: %d, %v, %d bytes", n, len(got), err, len(text))
		}
	}
	one := formatList(cids(t, 1))
	for name, text := range map[string]string{
		"empty": "", "no CID": "hello\n", "an empty line": one + "\n", "too many": formatList(cids(t, maxList+1)),
		"the same twice": one + one, "a long line": strings.Repeat("b", 5000), "too long": strings.Repeat(strings.Repeat("b", 100)+"\n", 1000),
	} {
		if _, err := parseList(strings.NewReader(text)); !errors.Is(err, errList) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(formatList(cids(f, 3)))
	f.Add("bafkqaaa\nbafkqaaa\n")
	f.Add("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG\r\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseList(strings.NewReader(text))
		if err != nil {
			return
		}
		if len(list) == 0 || len(list) > maxList {
			t.Fatalf("%d CIDs", len(list))
		}
		again, err := parseList(strings.NewReader(formatList(list)))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("read again: %v", err)
		}
	})
}

// call makes a request as a peer does.
func (m *machine) call(t *testing.T, method, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, m.web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Test-Peer", "tester")
	resp, err := m.client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// What is there is answered in the order asked, the rest is left out.
func TestAnswers(t *testing.T) {
	m := newMachine(t, "machine", Limits{})
	root := m.publish(random(6<<20, 1))
	all := blocksUnder(t, m, root)
	m.store.drop(all[3])
	list := []cid.Cid{all[4], all[3], all[1], all[2]}
	resp := m.call(t, http.MethodPost, Path+root.String()+"?relay=1", formatList(list))
	if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); resp.StatusCode != http.StatusOK || kind != car.MediaType {
		t.Errorf("%s, %q", resp.Status, kind)
	}
	var got []cid.Cid
	w := wanted{left: map[string]bool{}, proceeds: func(bool) {}, yield: func(c cid.Cid, _ []byte) error { got = append(got, c); return nil }}
	for _, c := range list {
		w.left[string(c.Hash())] = true
	}
	if err := car.Read(bufio.NewReader(resp.Body), w.take); err != nil || !slices.Equal(got, []cid.Cid{all[4], all[1], all[2]}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestStates(t *testing.T) {
	m, other := newMachine(t, "machine", Limits{}), newMachine(t, "other", Limits{})
	whole, part, inner := m.publish(random(5<<20, 1)), m.publish(random(5<<20, 2)), other.publish(random(5<<20, 3))
	m.store.drop(blocksUnder(t, m, part)[5])
	for c, want := range map[cid.Cid]state{whole: holds, part: some, inner: none, blocksUnder(t, m, whole)[2]: holds} {
		body, err := io.ReadAll(m.call(t, http.MethodGet, Path+c.String(), "").Body)
		if err != nil || parseState(string(body)) != want {
			t.Errorf("%q, %v, want %s", body, err, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	m := newMachine(t, "machine", Limits{})
	root := cids(t, 1)[0].String()
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, Path + "nonsense", "", 400},
		{http.MethodGet, Path + strings.Repeat("b", 4000), "", 400},
		{http.MethodPost, Path + root, "", 400},
		{http.MethodPost, Path + root, "nonsense", 400},
		{http.MethodPost, Path + root, formatList(cids(t, maxList+1)), 400},
		{http.MethodPut, Path + root, "", 405},
		{http.MethodGet, "/", "", 404},
	} {
		if got := m.call(t, test.method, test.path, test.body); got.StatusCode != test.status {
			t.Errorf("%s %.80s: %s, want %d", test.method, test.path, got.Status, test.status)
		}
	}
}

// A peer that asks for too much at once is told so; others are still answered.
func TestTooManyRequests(t *testing.T) {
	m := newMachine(t, "machine", Limits{PerPeer: 2})
	m.uplink = &uplink{rate: 1 << 20}
	root := m.publish(random(4<<20, 1))
	list := formatList(blocksUnder(t, m, root))
	for range 2 {
		m.call(t, http.MethodPost, Path+root.String(), list)
	}
	if got := m.call(t, http.MethodPost, Path+root.String(), list); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("the third: %s", got.Status)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, m.web.URL+Path+root.String(), strings.NewReader(list))
	r.Header.Set("Test-Peer", "another")
	resp, err := m.client.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("another peer: %v, %v", resp, err)
	}
	resp.Body.Close()
}

// All who fetch the same choose the same homes, and each is the home of about
// as many blocks.
func TestHomes(t *testing.T) {
	const n, blocks = 5, 4000
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("12D3KooW%d", i)
	}
	var picks []*pick
	for i := range ids {
		s := &pick{self: seed(ids[i]), j: &job{hops: 1}}
		for j, id := range ids {
			if j != i {
				s.fetchers = append(s.fetchers, fetcher{newPeer(id), &view{told: told{hops: 1}}, seed(id)})
			}
		}
		picks = append(picks, s)
	}
	count := map[string]int{}
	for _, c := range cids(t, blocks) {
		homes := map[string]bool{}
		for i, s := range picks {
			home := ids[i]
			if p := s.home(&block{cid: c}); p != nil {
				home = p.id
			}
			homes[home] = true
			if i == 0 {
				count[home]++
			}
		}
		if len(homes) != 1 {
			t.Fatalf("homes of %s: %v", c, homes)
		}
	}
	for id, got := range count {
		if got < blocks/n*8/10 || got > blocks/n*12/10 {
			t.Errorf("%s is the home of %d of %d blocks", id, got, blocks)
		}
	}
}
