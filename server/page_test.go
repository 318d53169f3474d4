package server

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/net/html"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/holders"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server/page"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// hostile is text that does harm where it is taken for markup, code or layout.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}&lt;` + "\u202e\x1b[31m"

// layerOf is a tar of files with these names and contents.
func layerOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Format: tar.FormatPAX})
		if err == nil {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// startPage starts a site with a page about images, of which two share a layer and one has names,
// platforms and files that are hostile.
func startPage(t *testing.T, change func(*Config)) (s *site, roots []ipfs.Root) {
	t.Helper()
	blocks := testlayout.NewBlocks()
	add := func(names []string, platform string, layers ...[]byte) {
		l := testlayout.New(t, blocks)
		image := l.Image("amd64", layers...)
		image.Platform = &ocispec.Platform{OS: platform, Architecture: "amd64"}
		image.Annotations = map[string]string{ocispec.AnnotationRefName: names[0]}
		signature := l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom" + platform,
			Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}, Subject: &image,
		})
		l.Blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
		root := l.Publish(image, signature)
		roots = append(roots, ipfs.Root{CID: root, Names: names, Published: time.Unix(1_700_000_000, 0), Size: 1000})
	}
	shared := layerOf(t, "etc/motd", "hello\n", "etc/os-release", "ID=test\n", "bin/sh", "\x7fELF\x00\x01", "shared", strings.Repeat("shared ", 1000))
	add([]string{"app:1"}, "linux", shared, layerOf(t, "one", "1"))
	add([]string{"app:2"}, "linux", shared, layerOf(t, "two", "2"))
	add([]string{hostile}, hostile, layerOf(t, hostile+"/"+hostile, hostile))
	cfg := Config{
		Local: blocks, Kept: func(context.Context) ([]ipfs.Root, error) { return roots, nil },
		OpenHere: true, Version: "test", Disk: func() (int64, int64, error) { return 5000, 600, nil },
		Page: &page.Config{
			LastUse: func(cid.Cid) time.Time { return time.Unix(1_700_000_500, 0) },
			Current: func(context.Context) (map[string][]string, error) {
				return map[string][]string{roots[1].CID.KeyString(): {"app:latest"}}, nil
			},
			Where: func(ctx context.Context, root cid.Cid, others bool) (*holders.Search, error) {
				s, _, err := holders.New(ctx, blocks, root)
				if err != nil {
					return nil, err
				}
				s.Whole(holders.Holder{Kind: holders.Store, Name: "this server", How: "counted"})
				if others {
					s.Nothing(holders.Holder{Kind: holders.Peer, Name: hostile, Addrs: []string{hostile}, How: "says so"})
					s.Unasked(holders.Holder{Kind: holders.Gateway, Name: "http://gateway.test", How: "was asked"}, hostile)
				}
				return s, nil
			},
			Peers: func() []page.Peer {
				return []page.Peer{{ID: "12D3KooW", Addr: "/ip4/192.0.2.1/tcp/4001", Agent: hostile, Protocols: []string{"bitswap"}, In: 10, Out: 20}}
			},
		},
	}
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg), roots
}

// browser follows links as people do.
type browser struct {
	*site
	seen map[string]string // text by path
}

// open reads a document, checks it, and goes on with what it links to.
func (b *browser) open(path string) {
	b.t.Helper()
	if _, seen := b.seen[path]; seen {
		return
	}
	got := b.get(path).expect(b.t, http.StatusOK, "")
	doc, err := html.Parse(bytes.NewReader(got.body))
	if err != nil {
		b.t.Fatal(err)
	}
	text := &strings.Builder{}
	var links []string
	ids := map[string]bool{}
	policy := got.Header.Get("Content-Security-Policy")
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			text.WriteString(n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		b.element(path, n, policy)
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && ids[a.Val]:
				b.t.Errorf("%s: id %q is there twice", path, a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			case a.Key == "href" && strings.HasPrefix(a.Val, "/"):
				links = append(links, a.Val)
			}
		}
	}
	for n := range doc.Descendants() {
		if n.Data == "input" && !labelled(doc, attr(n, "id")) {
			b.t.Errorf("%s: an input has no label", path)
		}
	}
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"} {
		if got.Header.Get(name) == "" {
			b.t.Errorf("%s: no %s", path, name)
		}
	}
	b.seen[path] = text.String()
	for _, link := range links {
		b.open(link)
	}
}

// element checks that nothing in a document comes from elsewhere, or runs that is not ours.
func (b *browser) element(path string, n *html.Node, policy string) {
	b.t.Helper()
	switch n.Data {
	case "script", "style":
		sum := sha256.Sum256([]byte(n.FirstChild.Data))
		if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, n.Data+"-src 'sha256-"+hash+"'") {
			b.t.Errorf("%s: the policy does not know this %s: %q", path, n.Data, policy)
		}
	case "img", "iframe", "link", "object", "embed", "base":
		b.t.Errorf("%s has an element %s", path, n.Data)
	}
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "srcdoc" {
			b.t.Errorf("%s: %s has %s=%q", path, n.Data, a.Key, a.Val)
		}
		if u, err := url.Parse(a.Val); (a.Key == "href" || a.Key == "action") && (err != nil || u.Host != "" || u.Scheme != "") {
			b.t.Errorf("%s leads to %q", path, a.Val)
		}
	}
}

func attr(n *html.Node, key string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

func labelled(doc *html.Node, id string) bool {
	for n := range doc.Descendants() {
		if n.Data == "label" && attr(n, "for") == id && id != "" {
			return true
		}
	}
	return false
}

// Every link of the page leads somewhere, and nothing that an image says becomes markup.
func TestPage(t *testing.T) {
	s, roots := startPage(t, nil)
	b := &browser{s, map[string]string{}}
	b.open("/")
	var all strings.Builder
	for path, text := range b.seen {
		all.WriteString(text)
		if strings.ContainsAny(text, "\u202e\x1b") && !strings.Contains(path, "path=") { // a file's text is what it is
			t.Errorf("%s: what turns text around, or a terminal's colour, is shown as it is", path)
		}
		if path == "/" && (!strings.Contains(text, "app:latest") || !strings.Contains(text, "3 of 3 images") || !strings.Contains(text, "5.0 kB")) {
			t.Errorf("the overview says %q", text)
		}
	}
	if len(b.seen) < 15 { // the views, three images, their layers, directories and files
		t.Errorf("%d documents: %v", len(b.seen), b.seen)
	}
	host := strings.TrimPrefix(s.url, "http://")
	for _, want := range []string{
		"hello\n", "This is no text", "<script>alert(1)</script>", "docker pull " + host + "/" + ref.Ciq(roots[0].CID) + "/app",
		"application/vnd.example.sbom", "12D3KooW", "Requests in a day", "all of it", "http://gateway.test", "not known",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no document says %q", want)
		}
	}
	first := b.seen["/?root="+ref.Ciq(roots[0].CID)]
	if !strings.Contains(first, "app:2") || !strings.Contains(first, "An update from it moves") || strings.Contains(first, "alert(1)") {
		t.Errorf("the first image shares with: %q", first)
	}
	found := s.get("/?q=app:2")
	if !bytes.Contains(found.body, []byte("1 of 3 images")) || bytes.Contains(found.body, []byte(">app:1<")) {
		t.Errorf("looking for app:2: %s", found.body)
	}
}

// Who looks from elsewhere has nobody asked but this server, unless it fetches for all; and
// what may not be seen is not asked about.
func TestWhoHasIt(t *testing.T) {
	s, roots := startPage(t, func(c *Config) { c.Catalog = true })
	path := "/?view=where&root=" + ref.Ciq(roots[0].CID)
	if got := s.get(path).expect(t, http.StatusOK, ""); !bytes.Contains(got.body, []byte("http://gateway.test")) {
		t.Errorf("from here: %s", got.body)
	}
	got := s.get(path, "X-Forwarded-For: 192.0.2.7").expect(t, http.StatusOK, "")
	if bytes.Contains(got.body, []byte("http://gateway.test")) || !bytes.Contains(got.body, []byte("own machine alone")) || !bytes.Contains(got.body, []byte("all of it")) {
		t.Errorf("from elsewhere: %s", got.body)
	}
	limited, roots := startPage(t, func(c *Config) { c.Allow = AnyOf(allowFunc(func(cid.Cid) bool { return false })) })
	limited.get("/?view=where&root="+ref.Ciq(roots[0].CID)).expect(t, http.StatusNotFound, "")
}

// What is asked for and is not there is an error, and neither an empty nor another's page.
func TestPageOfNothing(t *testing.T) {
	s, roots := startPage(t, func(c *Config) {
		kept := c.Kept
		c.Kept = func(ctx context.Context) ([]ipfs.Root, error) {
			all, err := kept(ctx)
			return all[:2], err
		}
	})
	root := ref.Ciq(roots[0].CID)
	layer := digest.FromBytes(layerOf(t, "one", "1")).String()
	s.get("/?root="+root+"&layer="+url.QueryEscape(layer)).expect(t, http.StatusOK, "")
	for _, path := range []string{
		"/?view=nothing", "/?root=nothing", "/?root=" + ref.Ciq(roots[2].CID), "/?root=" + root + "&layer=sha256:00",
		"/?root=" + root + "&path=nothing&layer=" + url.QueryEscape(layer),
	} {
		s.get(path).expect(t, http.StatusNotFound, "")
	}
	s.do(http.MethodPost, "/").expect(t, http.StatusMethodNotAllowed, "")
	without := start(t, Config{Local: testlayout.NewBlocks()})
	without.get("/").expect(t, http.StatusNotFound, "")
}

// The page shows no more, and to nobody else, than reads give.
func TestWhoSeesThePage(t *testing.T) {
	elsewhere := "X-Forwarded-For: 192.0.2.7"
	s, _ := startPage(t, nil)
	for _, path := range []string{"/", "/?view=events", "/?view=peers"} {
		got := s.get(path, elsewhere).expect(t, http.StatusForbidden, "")
		if !bytes.Contains(got.body, []byte("--catalog")) || bytes.Contains(got.body, []byte("app:1")) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	open, _ := startPage(t, func(c *Config) { c.Catalog = true })
	open.get("/", elsewhere).expect(t, http.StatusOK, "")

	var only cid.Cid
	limited, roots := startPage(t, func(c *Config) {
		c.Allow = AnyOf(allowFunc(func(root cid.Cid) bool { return root.Equals(only) }))
	})
	only = roots[0].CID
	if sum, err := limited.s.storedShown(t.Context()); err != nil || sum != (Stored{Roots: 1, Bytes: 1000}) {
		t.Errorf("of what is stored the page counts %+v, %v", sum, err)
	}
	if got := s.get("/"); !bytes.Contains(got.body, []byte("Store on disk")) {
		t.Errorf("without a limit: %s", got.body)
	}
	if got := limited.get("/"); bytes.Contains(got.body, []byte("Store on disk")) {
		t.Errorf("how large the store is, is told: %s", got.body)
	}
	if got := limited.get("/").expect(t, http.StatusOK, ""); !bytes.Contains(got.body, []byte("app:1")) || bytes.Contains(got.body, []byte("app:2")) {
		t.Errorf("what is not allowed is listed: %s", got.body)
	}
	limited.get("/?root="+ref.Ciq(roots[1].CID)).expect(t, http.StatusNotFound, "")
	if got := limited.get("/?root=" + ref.Ciq(only)); bytes.Contains(got.body, []byte("app:2")) {
		t.Error("what is not allowed is compared with")
	}

	kept := ref.Ciq(roots[0].CID)
	limited.s.pushes.Tell(page.Push{Name: "pushed:kept", Root: kept})
	limited.s.pushes.Tell(page.Push{Name: "pushed:secret", Root: ref.Ciq(roots[1].CID)})
	if got := limited.get("/"); !bytes.Contains(got.body, []byte("pushed:kept")) || bytes.Contains(got.body, []byte("pushed:secret")) {
		t.Errorf("of two pushes, of which one is not allowed, the page tells: %s", got.body)
	}

	closed, _ := startPage(t, func(c *Config) { c.Passwords, c.AuthRead = htpasswd(t), true })
	closed.get("/").expect(t, http.StatusUnauthorized, "")
	closed.get("/", ann).expect(t, http.StatusOK, "")
}

// Links to images without a name can be told from each other by what they say.
func TestPageOfNamelessImages(t *testing.T) {
	s, roots := startPage(t, func(c *Config) {
		kept := c.Kept
		c.Kept = func(ctx context.Context) ([]ipfs.Root, error) {
			all, err := kept(ctx)
			all = slices.Clone(all)
			for i := range all {
				all[i].Names = nil
			}
			return all, err
		}
	})
	got := s.get("/").expect(t, http.StatusOK, "")
	for _, i := range []int{0, 2} {
		if want := "no name, <code>" + ref.Ciq(roots[i].CID)[:12]; !bytes.Contains(got.body, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

type allowFunc func(root cid.Cid) bool

func (f allowFunc) Allowed(_ context.Context, root cid.Cid) (bool, error) { return f(root), nil }
