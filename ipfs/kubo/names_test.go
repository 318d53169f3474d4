package kubo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	shell "github.com/ipfs/go-ipfs-api"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
)

// startPair starts two Kubos that are connected and have a DHT of their own.
func startPair(t *testing.T) (a, b *daemon) {
	t.Helper()
	a, b = startKubo(t), startKubo(t)
	for _, d := range []*daemon{a, b} {
		d.kill()
		d.configure(t, "Routing.Type", "dhtserver")
		d.configure(t, "Addresses.Swarm", []string{"/ip4/127.0.0.1/tcp/0"})
		d.restart(t)
	}
	addr := strings.Fields(a.ipfs(t, "id", "-f", "<addrs>"))
	if len(addr) == 0 {
		t.Fatal("the first Kubo has no address")
	}
	b.ipfs(t, "swarm", "connect", addr[0])
	return a, b
}

// Names published by Kubo resolve here, ours there, through one Kubo and out of another,
// its gateway and its routing server, and keys go both ways.
func TestNamesBothWays(t *testing.T) {
	a, b := startPair(t)
	one, two := a.store(t), b.store(t)
	s := names.NewStore(filepath.Join(t.TempDir(), "names"))
	gw, err := gateway.New(b.gateway, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	routing, err := names.NewRouting(b.gateway)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []ipfs.RecordSource{two, gw, routing} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := from.Record(ctx, unknownName); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s, of a name that nobody has: %v", from, err)
		}
	}

	// Kubo's names here.
	kubos := strings.TrimSpace(a.ipfs(t, "key", "gen", "theirs"))
	a.ipfs(t, "name", "publish", "--key=theirs", "--resolve=false", "--allow-offline", "/ipfs/"+first)
	for _, from := range []ipfs.RecordSource{one, two, gw, routing} {
		raw, _, err := from.Record(t.Context(), kubos)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		if r, err := names.Verify(kubos, raw); err != nil || r.Value != "/ipfs/"+first {
			t.Errorf("%s: %+v, %v", from, r, err)
		}
	}

	// Ours there.
	k, err := s.Create("ours")
	if err != nil {
		t.Fatal(err)
	}
	resolver := names.NewResolver(s, names.Options{Sources: []ipfs.RecordSource{one}})
	defer resolver.Close()
	p := names.NewPublisher(s, resolver, names.PublisherOptions{Sinks: []ipfs.RecordSink{one}})
	move(t, p, k, first)
	if got := strings.TrimSpace(b.ipfs(t, "name", "resolve", "--nocache", k.Name)); got != "/ipfs/"+first {
		t.Errorf("Kubo resolves it as %s", got)
	}
	p = names.NewPublisher(s, resolver, names.PublisherOptions{Sinks: []ipfs.RecordSink{routing}})
	move(t, p, k, second)
	if got := strings.TrimSpace(a.ipfs(t, "name", "resolve", "--nocache", k.Name)); got != "/ipfs/"+second {
		t.Errorf("Kubo resolves it as %s", got)
	}
	keysBothWays(t, a, s, p, k, kubos)
	if got := strings.TrimSpace(b.ipfs(t, "name", "resolve", "--nocache", kubos)); got != "/ipfs/"+second {
		t.Errorf("Kubo resolves its name as %s", got)
	}
}

// That Kubo could ask nobody does not say that nobody has a record.
func TestKuboWithoutRecord(t *testing.T) {
	for message, want := range map[string]error{
		"routing: not found": ipfs.ErrNotFound, "failed to find any peer in table": ipfs.ErrUnavailable, "routing: operation or key not supported": ipfs.ErrUnavailable,
	} {
		err := withoutRecord((&Store{}).mapError(t.Context(), &shell.Error{Message: message}))
		if !errors.Is(err, want) || want == ipfs.ErrUnavailable && errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want %v", message, err, want)
		}
	}
}

// Two roots, and a name that nobody has.
const (
	first       = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
	second      = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
	unknownName = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"
)

// keysBothWays gives a key of ours to Kubo, which moves its name, and one of Kubo's to us,
// where its name goes on behind what Kubo has published.
func keysBothWays(t *testing.T, a *daemon, s *names.Store, p *names.Publisher, k names.Key, kubos string) {
	t.Helper()
	dir := t.TempDir()
	key, err := k.Export(names.FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ours.key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	a.ipfs(t, "key", "import", "ours", file)
	a.ipfs(t, "name", "publish", "--key=ours", "--resolve=false", "--allow-offline", "/ipfs/"+first)
	if err := p.Ask(t.Context(), k); !errors.Is(err, names.ErrOtherWriter) {
		t.Errorf("Kubo has moved the name: %v", err)
	}
	exported := filepath.Join(dir, "theirs.key")
	a.ipfs(t, "key", "export", "-o", exported, "theirs")
	data, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := s.Import("theirs", data, nil)
	if err != nil || theirs.Name != kubos {
		t.Fatalf("%+v, %v; want %s", theirs, err, kubos)
	}
	if err := p.Ask(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	move(t, p, theirs, second)
}

func move(t *testing.T, p *names.Publisher, k names.Key, root string) {
	t.Helper()
	r, err := p.Publish(t.Context(), k, names.Move{Asked: true}, func(ctx context.Context) (string, error) { return "/ipfs/" + root, nil })
	if err != nil {
		t.Fatal(err)
	}
	if sent := p.Send(t.Context(), r); sent.Failed != nil {
		t.Errorf("%+v", sent)
	}
}
