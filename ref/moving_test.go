package ref

import (
	"errors"
	"slices"
	"testing"
)

const (
	ed25519Name = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"
	rsaName     = "k2k4r8jl0yz8qjgqbmc2cdu5hkqek5rj6flgnlkyywynci20j0iuyfuj"
)

// Whoever is told a name that moves, in whichever way, must be led to the same.
func TestParseMoving(t *testing.T) {
	listed := func(d string) bool { return slices.Contains([]string{"example.com", "img.example.org"}, d) }
	for in, want := range map[string]Name{
		ed25519Name:                              {Moving: ed25519Name},
		ed25519Name + "/app:1":                   {Moving: ed25519Name, Repository: "app", Tag: "1"},
		"host:5000/" + ed25519Name + "/team/app": {Host: "host:5000", Moving: ed25519Name, Repository: "team/app"},
		"library/" + ed25519Name + ":1":          {Moving: ed25519Name, Tag: "1"},
		"/ipns/" + ed25519Name + "/app:1":        {Moving: ed25519Name, Repository: "app", Tag: "1"},
		"ipns://" + ed25519Name:                  {Moving: ed25519Name},
		"/ipns/any.example.net/app:2":            {Moving: "any.example.net", Repository: "app", Tag: "2"},
		"example.com/app":                        {Moving: "example.com", Repository: "app"},
		"example.com":                            {Moving: "example.com"},
		"host/example.com/app":                   {},
		"host:1/example.com/app:1":               {Host: "host:1", Moving: "example.com", Repository: "app", Tag: "1"},
		"https://localhost/img.example.org/a/b":  {Host: "localhost", Moving: "img.example.org", Repository: "a/b"},
		"example.com/" + ed25519Name + "/app":    {Host: "example.com", Moving: ed25519Name, Repository: "app"},
		"example.net/app":                        {},
		"/ipns/EXAMPLE.com":                      {},
		"app:1":                                  {},
		"ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi":                 {},
		"/ipns/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X":              {Moving: "k51qzi5uqu5dlc520kj409x5jyaqsg6w2w7uw84ded6ujsrn0satrivy98a22k"},
		"12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X":                    {},
		"/ipns/bafzbeibxfjp4gaxc4cdzkhjkpm6nmbtjdq4dxoy7kjkfmd6pyl7f2dhmja/app:1": {Moving: "k2k4r8ksigc0dco52178c8d2nwxmv703qbvhfmgei5a27vn168g0as08", Repository: "app", Tag: "1"},
	} {
		got, err := ParseMoving(in, listed)
		if want.Moving == "" {
			if !errors.Is(err, ErrNotMoving) {
				t.Errorf("%s: %+v, %v; want an error", in, got, err)
			}
			continue
		}
		if err != nil || (want.Moving != got.Moving) || got.Repository != want.Repository || got.Tag != want.Tag || got.Host != want.Host {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	if _, err := ParseMoving(ed25519Name+"@sha256:00", nil); !errors.Is(err, ErrInvalidName) {
		t.Errorf("a broken digest: %v", err)
	}
	if n, err := ParseMoving("h:1/"+rsaName+"/app:1", nil); err != nil || n.String() != "h:1/"+rsaName+"/app:1" {
		t.Errorf("%v, %v", n, err)
	}
	if IsIPNS("example.com") || !IsIPNS(rsaName) {
		t.Error("a domain is taken for a key, or the other way round")
	}
}
