package ipfs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// The CIDs in these tables were printed by Kubo 0.42.0 with the profile
// unixfs-v1-2025 applied (`ipfs add --only-hash`), never by this project.
// Whoever loses one of them loses the names of all published images.

// goldenFiles are files of pattern bytes.
var goldenFiles = []struct {
	name string
	size int64
	want string
}{
	{"empty", 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
	{"one byte", 1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"},
	{"one block", 1 << 20, "bafkreidohmt7sqx3xcy3fsjcjykzj7z4wko7wswgnhhddfj2kbqdog4ufy"},
	{"one block and a byte", 1<<20 + 1, "bafybeic6hbfiqqobngcl4imnqvx27s7sfkx2r2frkydruetwt5wdhulpca"},
	{"five blocks", 5 << 20, "bafybeieo47fnpn4gieo3hl7khomflhou4quhr6daqiaj7p6u4lrt4cobqa"},
	{"1024 blocks", 1 << 30, "bafybeieokx55jdyixdipo2r5ihtzp3d7ttc3eblluopl56pomqewhypsoq"},
	{"1024 blocks and a byte: two levels of links", 1<<30 + 1, "bafybeifas3ybof4ojkyd7fx6gobpxp7bbur7tsz6zyos7auumpy4s7yzzi"},
}

// goldenTrees are directories: path to content.
var goldenTrees = []struct {
	name  string
	files map[string]string
	want  string
}{
	{"no entry", nil, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
	{"two files", map[string]string{"b": "two", "a": "one"}, "bafybeihqnjff4lz2rm4vi3eop4gzutsqxfukwswyaxchmv3y3mjkc3r55q"},
	{"names that sort by bytes", map[string]string{"Z": "1", "a": "2", "ä": "3", "a.b": "4", "a-b": "5"}, "bafybeihpxzctpd3cgbpn5kex3y3a3dimplscpavbnzasttqzoh63hw6nh4"},
	{"an image layout", layoutFiles(), "bafybeic5bq5c3vysgnie4nloxsz7ehxhxh3rkpgm53zncf74e35fdm7jae"},
	{"a block of 256 KiB less a byte: plain", wideDirectory(-1), "bafybeiffnpbancrpamnvglpevssjqqcw2kont6rtdka3f3osy2vtyrhvty"},
	{"a block of 256 KiB: plain", wideDirectory(0), "bafybeigbltwmwplwzaule6g77u7sd5wvllm7i66zbgc7eujykqnpqikwjq"},
	{"a block of 256 KiB and a byte: sharded", wideDirectory(1), "bafybeieo2tsyjowcpzsmbe5syeciahkl3jcfzozlrbobeji5nhowutilum"},
	{"3000 entries: shards of shards", manyFiles(3000), "bafybeib2qupcwlbd7tiphxybq3dzpb2onzuzptyygylvpgtr6s3uce53cu"},
}

func layoutFiles() map[string]string {
	return map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"manifests":[]}`,
		"blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":                                                                 "",
		"blobs/sha256/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824":                                                                 "hello",
		"blobs/sha512/9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043": "hello",
	}
}

// wideDirectory has files whose dag-pb node is 256 KiB and more bytes long: for
// each entry 3 of framing, 38 of CID, 3 and the name, 2 of size; 4 of data.
func wideDirectory(more int) map[string]string {
	const entry = 3 + 38 + 3 + 150 + 2 // with a name of 150 bytes
	files := map[string]string{}
	left := 256<<10 + more - 4
	for i := 0; left >= 3*entry; i++ {
		files[fmt.Sprintf("%0150d", i)] = "x"
		left -= entry
	}
	left -= 2 * entry
	files[strings.Repeat("y", 150+left/2)] = "x"
	files[strings.Repeat("z", 150+left-left/2)] = "x"
	return files
}

func manyFiles(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%064x", i*i)] = fmt.Sprint(i % 10)
	}
	return files
}

// pattern yields bytes of which no two MiB are equal.
func pattern(size int64) io.Reader { return &patternReader{left: size} }

type patternReader struct {
	block [1 << 20]byte
	n     uint64 // blocks made
	rest  []byte
	left  int64
}

func (p *patternReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(p.rest) == 0 {
		if p.n == 0 {
			for i := range p.block {
				p.block[i] = byte(i*i>>8 ^ i)
			}
		}
		binary.BigEndian.PutUint64(p.block[:], p.n)
		p.n++
		p.rest = p.block[:]
	}
	n := copy(b[:min(int64(len(b)), p.left)], p.rest)
	p.rest, p.left = p.rest[n:], p.left-int64(n)
	return n, nil
}

// discard takes blocks and keeps none.
type discard struct{}

func (discard) Put(context.Context, cid.Cid, []byte) error { return nil }

// sizesOf takes blocks and keeps their sizes.
type sizesOf map[cid.Cid]int

func (s sizesOf) Put(_ context.Context, c cid.Cid, data []byte) error {
	s[c] = len(data)
	return nil
}

// Without this, the same image would get another name with another store.
func TestGoldenFiles(t *testing.T) {
	kubo := findKubo(t)
	for _, g := range goldenFiles {
		t.Run(g.name, func(t *testing.T) {
			if testing.Short() && g.size >= 1<<30 {
				t.Skip("a GiB is hashed without -short only")
			}
			link, err := ipfs.AddFile(t.Context(), discard{}, pattern(g.size))
			if err != nil {
				t.Fatal(err)
			}
			if link.Size != g.size {
				t.Errorf("size %d, want %d", link.Size, g.size)
			}
			compare(t, link.CID, g.want)
			if kubo != nil {
				compareKubo(t, g.want, kubo.add(t, pattern(g.size)))
			}
		})
	}
}

// The threshold is tested on both sides only if the directories lie there.
func TestGoldenTreesMeetThreshold(t *testing.T) {
	for more, want := range map[int]bool{-1: true, 0: true, 1: false} {
		sizes := sizesOf{}
		link := addTree(t, sizes, wideDirectory(more))
		if plain := sizes[link.CID] == 256<<10+more; plain != want {
			t.Errorf("%+d bytes: the root has %d bytes, plain %t, want %t", more, sizes[link.CID], plain, want)
		}
	}
}

// Without this, layouts of many blobs would get names that no other tool gives.
func TestGoldenTrees(t *testing.T) {
	kubo := findKubo(t)
	for _, g := range goldenTrees {
		t.Run(g.name, func(t *testing.T) {
			sizes := sizesOf{}
			link := addTree(t, sizes, g.files)
			compare(t, link.CID, g.want)
			if n := sizes[link.CID]; n > 256<<10 {
				t.Errorf("the directory's block has %d bytes, more than 256 KiB", n)
			}
			if kubo == nil {
				return
			}
			dir := t.TempDir()
			for name, content := range g.files {
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			compareKubo(t, g.want, kubo.add(t, nil, "--recursive", dir))
		})
	}
}

// addTree builds the directories of files bottom-up with AddDirectory.
func addTree(t *testing.T, p ipfs.Putter, files map[string]string) ipfs.Link {
	t.Helper()
	entries := map[string]ipfs.Link{}
	below := map[string]map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir, rest, ok := strings.Cut(name, "/"); ok {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = files[name]
			continue
		}
		link, err := ipfs.AddFile(t.Context(), discard{}, strings.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		entries[name] = link
	}
	for dir, files := range below {
		entries[dir] = addTree(t, p, files)
	}
	link, err := ipfs.AddDirectory(t.Context(), p, entries)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func compare(t *testing.T, got cid.Cid, want string) {
	t.Helper()
	if got.String() != want {
		t.Errorf("we give %s, Kubo 0.42 gave %s", got, want)
	}
}

func compareKubo(t *testing.T, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("this Kubo gives %s, 0.42 gave %s", got, want)
	}
}

// kuboCLI is a Kubo with the profile applied in a repository of its own.
type kuboCLI struct{ bin, repo string }

// findKubo gives the Kubo of $KUBO_BIN or PATH, nil with a message when there
// is none: the pasted CIDs are compared all the same.
func findKubo(t *testing.T) *kuboCLI {
	t.Helper()
	bin := os.Getenv("KUBO_BIN")
	if bin == "" {
		bin = "ipfs"
	}
	path, err := exec.LookPath(bin)
	if err != nil {
		t.Logf("not recomputed by Kubo: %v (set KUBO_BIN to an ipfs binary)", err)
		return nil
	}
	k := &kuboCLI{bin: path, repo: t.TempDir()}
	k.run(t, nil, "init", "--empty-repo", "--profile=unixfs-v1-2025")
	return k
}

// add gives the CID that Kubo's add makes of r, or of what args name.
func (k *kuboCLI) add(t *testing.T, r io.Reader, args ...string) string {
	t.Helper()
	return k.run(t, r, append([]string{"add", "--only-hash", "--quieter", "--progress=false"}, args...)...)
}

func (k *kuboCLI) run(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), k.bin, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off")
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", k.bin, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
