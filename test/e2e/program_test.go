//go:build e2e

// Running image2ipfs as its users do.

package e2e

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// program is the image2ipfs binary with one store.
type program struct {
	binary string
	store  string
	on     command      // the words that run a command on another machine
	client *http.Client // of that machine
}

// newProgram is image2ipfs with an empty store.
func newProgram(t *testing.T) program {
	t.Helper()
	c := commandFor("image2ipfs")
	if c == nil {
		t.Fatal("E2E_IMAGE2IPFS is not set; run the tests with hack/e2e.sh")
	}
	return program{binary: c[0], store: filepath.Join(t.TempDir(), "store"), client: http.DefaultClient}
}

// command is the program with its store, and with nothing else in the
// environment that could change what it does.
func (p program) command() command {
	return append(append(command{}, p.on...), "env", "-u", "IPFS_API", "-u", "IPFS_PATH", "-u", "IPFS_GATEWAY",
		"IMAGE2IPFS_PATH="+p.store, p.binary)
}

// publish runs `publish` on a file or, through standard input, on what is in it,
// and returns the lines it printed.
func (p program) publish(ctx context.Context, path string, stdin bool, args ...string) ([]string, error) {
	args = append([]string{"publish"}, args...)
	var in io.Reader
	if stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, path = struct{ io.Reader }{f}, "-" // a file would be read as one
	}
	var out strings.Builder
	if err := p.command().pipe(ctx, in, &out, append(args, path)...); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), nil
}

// server is a running `image2ipfs serve`.
type server struct {
	addr string
	run  *process.Process
	log  string
	stop func(*testing.T)
	kill func(*testing.T) // in place of stop
}

// serve starts a server and waits until it is ready. It is stopped by stop, or
// at the end of the test, and must then end in order and in time.
func (p program) serve(t *testing.T, addr string, args ...string) *server {
	t.Helper()
	argv := append(p.command(), append([]string{"serve", "--log-format", "json", "--addr", addr}, args...)...)
	s := &server{addr: addr, log: filepath.Join(t.TempDir(), "serve.log")}
	var once sync.Once
	s.stop = func(t *testing.T) {
		t.Helper()
		once.Do(func() {
			if err := s.run.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	s.kill = func(*testing.T) { once.Do(func() { s.run.Kill() }) }
	s.run = start(t, argv, s.log, process.Answers(p.client, "http://"+addr+"/healthz"))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// start starts a program and waits until it is ready. Who calls it ends it.
func start(t *testing.T, argv command, log string, ready func(context.Context) error) *process.Process {
	t.Helper()
	p, err := process.Start(context.Background(), exec.Command(argv[0], argv[1:]...), log, ready)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lastLines is the end of the server's log.
func (s *server) lastLines() string {
	log, _ := os.ReadFile(s.log)
	return tail(string(log), 10)
}

// blobsAnswered counts the blobs that clients got by GET in the server's log, each
// of a client once, by the status: a redirect where there was one, since who asks
// again soon is served from here. Crane's are left out: it refuses to be redirected
// to the gateways of these tests, whose addresses are private, and must not be.
func (s *server) blobsAnswered(t *testing.T) map[int]int {
	t.Helper()
	answers := map[[2]string]int{} // by client and digest
	for _, a := range s.requests(t) {
		if a.Method != http.MethodGet || !strings.HasPrefix(a.Path, "/v2/") || !strings.Contains(a.Path, "/blobs/") {
			continue
		}
		if crane := strings.Contains(a.Agent, "go-containerregistry"); !crane {
			asked := [2]string{a.Agent, path.Base(a.Path)}
			if answers[asked] != http.StatusTemporaryRedirect {
				answers[asked] = a.Status
			}
		} else if a.Status == http.StatusTemporaryRedirect {
			t.Errorf("crane was redirected for %s", a.Path)
		}
	}
	count := map[int]int{}
	for _, status := range answers {
		count[status]++
	}
	return count
}

// request is what the server's log says of one.
type request struct {
	Method, Path, Agent string
	Status              int
	Bytes               int64 // of the answer's body
}

// requests reads the server's log.
func (s *server) requests(t *testing.T) (all []request) {
	t.Helper()
	log, err := os.Open(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for lines := json.NewDecoder(log); ; {
		var r request
		if err := lines.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("%s: expected lines of JSON: %v", s.log, err)
		}
		all = append(all, r)
	}
}

// freeAddr returns an address on 127.0.0.1 that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// cidOf spells a ciq name as CIDv1, dag-pb, base32.
func cidOf(ciq string) (string, error) {
	base := base32.StdEncoding.WithPadding(base32.NoPadding)
	multihash, err := base.DecodeString(strings.ToUpper(ciq))
	if err != nil || len(multihash) != 34 || multihash[0] != 0x12 || multihash[1] != 32 {
		return "", fmt.Errorf("%s: not the base32 of a sha2-256 multihash (%v)", ciq, err)
	}
	return "b" + strings.ToLower(base.EncodeToString(append([]byte{1, 0x70}, multihash...))), nil
}
