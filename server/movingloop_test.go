package server

import (
	"context"
	"net/http"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// later are names that are found by others, which are known later.
type later struct{ ipfs.Names }

// Two servers that are each other's source do not wait for each other: who asks for a name
// that neither knows is told that nobody has it, not that it cannot be had now.
func TestServersThatAskEachOther(t *testing.T) {
	var urls [2]string
	both := [2]*later{{}, {}}
	for i := range both {
		urls[i] = start(t, Config{Local: testlayout.NewBlocks(), Names: both[i], Open: true}).url
	}
	for i := range both {
		other, err := trustless.New(urls[1-i], trustless.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := names.NewDivided(names.NewStore(t.TempDir()), names.Options{Sources: []ipfs.RecordSource{other}})
		t.Cleanup(func() { d.Close() })
		both[i].Names = d
	}
	key, err := names.NewStore(t.TempDir()).Create("unknown")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(urls[0] + "/ipns/" + key.Name + "?format=ipns-record")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a name that neither knows: %s, want 404", resp.Status)
	}
}

// askedBy are names that note who may be asked for the last question.
type askedBy struct{ who ipfs.Askable }

func (a *askedBy) Find(ctx context.Context, _ string) (ipfs.Meaning, error) {
	a.who = ipfs.MayBeAsked(ctx)
	return ipfs.Meaning{}, ipfs.ErrNotFound
}

func (a *askedBy) Listed(string) bool { return false }

// Reserved sources are asked what a name means for those alone for whom the server fetches,
// and nobody is for another server.
func TestWhoIsAskedForNames(t *testing.T) {
	for _, c := range []struct {
		what   string
		cfg    Config
		header string
		want   ipfs.Askable
	}{
		{"a stranger", Config{}, "Accept: *", ipfs.AskPublic},
		{"this machine", Config{OpenHere: true}, "Accept: *", ipfs.AskAll},
		{"by a proxy here", Config{OpenHere: true}, "Via: 1.1 proxy", ipfs.AskPublic},
		{"anybody, who may", Config{Open: true}, "Via: 1.1 proxy", ipfs.AskAll},
		{"another server", Config{Open: true}, "CDN-Loop: other; a=b, image2ipfs", ipfs.AskNobody},
		{"another program", Config{Open: true}, "CDN-Loop: image2ipfs-not", ipfs.AskAll},
	} {
		names := &askedBy{who: -1}
		c.cfg.Local, c.cfg.Names = testlayout.NewBlocks(), names
		start(t, c.cfg).do(http.MethodGet, "/v2/"+movingName+"/app/manifests/1", c.header)
		if names.who != c.want {
			t.Errorf("%s: %d may be asked, want %d", c.what, names.who, c.want)
		}
	}
}
