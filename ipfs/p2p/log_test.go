package p2p_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"

	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// What libraries say of peers goes where everything else is printed, and not past
// it to the terminal.
func TestLogTo(t *testing.T) {
	var out bytes.Buffer
	p2p.LogTo(&out)
	t.Cleanup(func() { p2p.LogTo(os.Stderr) })
	golog.Logger("bitswap").Error("a peer of bitswap")
	gologshim.Logger("swarm2").Error("a peer of libp2p")
	for _, want := range []string{"a peer of bitswap", "a peer of libp2p"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}
