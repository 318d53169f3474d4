package ref

import (
	"errors"
	"strings"
	"testing"
)

// The vectors of the older versions; a change here renames what users hold.
var vectors = []Spellings{
	{
		V0:  "QmRhKG1VGPqEt3cwbehHWroqjhbC1izFCC4wudaJjRgrAk",
		Ciq: "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi",
		Hex: "122031de4400a431ac98465c9600f13ea8087e896bd7227a3e6617489a9c095c38b1",
	},
	{
		V0:  "QmXobd2Bvr2NaLwvWamszFEZQVw9qMh5rJtdx9CSwQWw5a",
		Ciq: "ciqizic7pchyn7y7trnis24rp4y5jal4fixlytecaap2k4jawrdp6gi",
	},
}

func TestSpellingsConvertIntoEachOther(t *testing.T) {
	for _, v := range vectors {
		c, err := ParseRoot(v.V0)
		if err != nil {
			t.Fatal(err)
		}
		got := Spell(c)
		if got.Ciq != v.Ciq || got.V0 != v.V0 || v.Hex != "" && got.Hex != v.Hex {
			t.Errorf("Spell(%s) = %+v, want %+v", v.V0, got, v)
		}
		if !strings.HasPrefix(got.V1, "bafybei") || !strings.HasPrefix(got.Base36, "k2") {
			t.Errorf("CIDv1 spellings %q and %q", got.V1, got.Base36)
		}
		for _, s := range []string{got.Ciq, got.V0, got.V1, got.Base36, got.Hex} {
			again, err := ParseRoot(s)
			if err != nil || !again.Equals(c) {
				t.Errorf("ParseRoot(%q) = %v, %v, want %v", s, again, err, c)
			}
		}
	}
}

func TestWhatIsNoRoot(t *testing.T) {
	ciq := vectors[0].Ciq
	for _, s := range []string{
		"", "app", "latest", ciq[:54], ciq + "a", strings.ToUpper(ciq), "ciq" + strings.Repeat("1", 52),
		ciq[:54] + "j",                   // stray bits behind the last byte
		"1220" + strings.Repeat("g", 64), // not hex
		strings.ToUpper(vectors[0].Hex),
		"bafkqaaa", // identity hash
	} {
		if c, err := ParseRoot(s); !errors.Is(err, ErrNotRoot) {
			t.Errorf("ParseRoot(%q) = %v, %v, want ErrNotRoot", s, c, err)
		}
	}
}

func TestParseName(t *testing.T) {
	ciq, v0 := vectors[0].Ciq, vectors[0].V0
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, test := range []struct{ in, host, repository, tag, digest string }{
		{in: ciq},
		{in: v0},
		{in: ciq + "/app", repository: "app"},
		{in: "localhost:5000/" + ciq + "/app:1", host: "localhost:5000", repository: "app", tag: "1"},
		{in: "localhost:5000/" + ciq, host: "localhost:5000"},
		{in: "docker.io/library/" + ciq + ":latest", host: "docker.io", tag: "latest"},
		{in: ciq + "/coreos/etcd@" + digest, repository: "coreos/etcd", digest: digest},
		{in: ciq + "/app:1@" + digest, repository: "app", tag: "1", digest: digest},
		{in: "ipfs://" + v0, repository: ""},
		{in: "/ipfs/" + vectors[0].V0 + "/"},
	} {
		n, err := ParseName(test.in)
		if err != nil {
			t.Errorf("ParseName(%q): %v", test.in, err)
			continue
		}
		if Spell(n.Root).V0 != v0 || n.Host != test.host || n.Repository != test.repository || n.Tag != test.tag || n.Digest.String() != test.digest {
			t.Errorf("ParseName(%q) = %+v", test.in, n)
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Errorf("ParseName(%q) = %+v, %v, want %+v", n.String(), again, err, n)
		}
	}
	for _, bad := range []string{"", "app:1", "localhost:5000/app", ciq + ":", ciq + "@sha256:12", "/"} {
		if n, err := ParseName(bad); !errors.Is(err, ErrInvalidName) {
			t.Errorf("ParseName(%q) = %+v, %v, want ErrInvalidName", bad, n, err)
		}
	}
}

func TestTrimHost(t *testing.T) {
	for in, want := range map[string]string{
		"quay.io/coreos/etcd":         "coreos/etcd",
		"localhost:5000/foo/bar":      "foo/bar",
		"localhost/foo:1":             "foo:1",
		"library/busybox":             "library/busybox",
		"docker.io/library/busybox:1": "busybox:1",
		"docker.io/coreos/etcd":       "coreos/etcd",
		"docker.io/library/team/app":  "library/team/app",
		"busybox:1.36":                "busybox:1.36",
	} {
		if got := TrimHost(in); got != want {
			t.Errorf("TrimHost(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanRegistry(t *testing.T) {
	for in, want := range map[string]string{
		"http://localhost:5000": "localhost:5000", "https://gw.local/": "gw.local", "gw:8080//": "gw:8080",
	} {
		if got := CleanRegistry(in); got != want {
			t.Errorf("CleanRegistry(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCheckRegistry(t *testing.T) {
	for value, want := range map[string]error{
		"http://localhost:5000": nil, "gateway": nil, "https://gw.local/": nil, "[::1]:5000": nil, "gw:8080/team": nil, "": nil,
		"my gateway:5000": ErrInvalidName, "gw:port": ErrInvalidName, "ftp://gw:21": ErrInvalidName, "gw:5000/Team": ErrInvalidName, "gw?x": ErrInvalidName,
	} {
		if err := CheckRegistry(value); !errors.Is(err, want) {
			t.Errorf("CheckRegistry(%q) says %v, want %v", value, err, want)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.Ciq)
		f.Add("localhost:5000/" + v.V0 + "/app:1")
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			return
		}
		again, err := ParseName(n.String())
		if err != nil || !again.Root.Equals(n.Root) {
			t.Errorf("%q reads as %q, which reads as %+v, %v", s, n, again, err)
		}
	})
}
