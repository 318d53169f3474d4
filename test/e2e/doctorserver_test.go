//go:build e2e

// States of servers, each with the real program: doctor's advice is followed.

package e2e

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// examined is a store, the server that runs for it, and where doctor looks for one.
type examined struct {
	program
	dir string   // where command lines are run
	url string   // as --server
	env []string // of doctor
	arg []string // further ones of doctor
	run *process.Process
}

// doctor gives the first problem; no engine is found here.
func (e *examined) doctor(t *testing.T) *finding {
	t.Helper()
	c := append(command{"env", "PATH=" + e.dir, "DOCKER_HOST=", "IMAGE2IPFS_PATH=" + e.store}, e.env...)
	return firstProblem(t, append(c, e.binary), append([]string{"doctor", "--json", "--server", e.url}, e.arg...)...)
}

// start starts `image2ipfs serve`, in place of the server that runs.
func (e *examined) start(t *testing.T, args ...string) {
	t.Helper()
	if e.run != nil {
		e.run.Kill()
	}
	argv := append(command{"env", "-C", e.dir, "IMAGE2IPFS_PATH=" + e.store, e.binary, "serve"}, args...)
	e.run = startDaemon(t, argv)
	addr := args[len(args)-1]
	for i, a := range args {
		if a == "--addr" {
			addr = args[i+1]
		}
	}
	eventually(t, "a server at "+addr, func() error {
		if strings.Contains(strings.Join(args, " "), "--tls-cert") {
			return answersTLS(addr)
		}
		return process.Answers(http.DefaultClient, "http://"+addr+"/healthz")(t.Context())
	})
}

// answersTLS asks a server with any certificate whether it is there.
func answersTLS(addr string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/healthz")
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// served runs what an advice to start a server says, up to its comment.
func (e *examined) served(t *testing.T, advice string) {
	t.Helper()
	line, _, _ := strings.Cut(advice, "   #")
	rest, ok := strings.CutPrefix(line, "image2ipfs serve ")
	if !ok {
		t.Fatalf("expected a command, found %q", advice)
	}
	e.start(t, strings.Fields(rest)...)
}

// told takes the URL that an advice says.
func (e *examined) told(t *testing.T, advice string) {
	t.Helper()
	_, rest, _ := strings.Cut(advice, "--server ")
	e.url, _, _ = strings.Cut(rest, ",")
}

// serverState is one that a server may be in: what doctor says of it, and what who
// follows the advice does.
type serverState struct {
	name       string
	enter      func(t *testing.T, e *examined, addr string)
	says, next string
	follow     func(e *examined, t *testing.T, advice string)
}

func serverStates() []serverState {
	return []serverState{
		{"none", func(*testing.T, *examined, string) {}, "nothing listens there", "image2ipfs serve --addr", (*examined).served},
		{"none, and a URL without a port", func(t *testing.T, e *examined, _ string) {
			e.url = "https://127.0.0.1"
			cert, key := certificate(t)
			for from, to := range map[string]string{cert: "CERT.pem", key: "KEY.pem"} {
				if err := os.Rename(from, filepath.Join(e.dir, to)); err != nil {
					t.Fatal(err)
				}
			}
		}, "nothing listens there", "image2ipfs serve --addr 127.0.0.1:443", (*examined).served},
		{"HTTP where HTTPS is said", func(t *testing.T, e *examined, addr string) {
			e.start(t, "--addr", addr)
			e.url = "https://" + addr
		}, "speaks HTTP, not HTTPS", "say --server http://", (*examined).told},
		{"HTTPS where HTTP is said", func(t *testing.T, e *examined, addr string) {
			cert, key := certificate(t)
			e.start(t, "--addr", addr, "--tls-cert", cert, "--tls-key", key)
		}, "speaks HTTPS, not HTTP", "say --server https://", (*examined).told},
		{"hangs", func(t *testing.T, e *examined, addr string) {
			e.start(t, "--addr", addr)
			if err := e.run.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}, "it hangs, or is stopped", "end it, then start it anew", func(e *examined, t *testing.T, _ string) {
			e.start(t, "--addr", strings.TrimPrefix(e.url, "http://"))
		}},
		{"something else", func(t *testing.T, e *examined, addr string) {
			e.run = startDaemon(t, command{"python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", e.dir, addr[strings.Index(addr, ":")+1:]})
			eventually(t, "a web server", func() error { return process.Answers(http.DefaultClient, "http://"+addr+"/")(t.Context()) })
		}, "something else listens there", "choose another port: image2ipfs serve --addr 127.0.0.1:5002", func(e *examined, t *testing.T, advice string) {
			_, line, _ := strings.Cut(advice, ": ")
			line, rest, _ := strings.Cut(line, ", and ")
			e.served(t, line)
			e.told(t, strings.Replace(rest, " here", ", here", 1))
		}},
		{"may not give doctor's image", func(t *testing.T, e *examined, addr string) {
			e.start(t, "--addr", addr, "--allow", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
		}, "limits what it serves", "image2ipfs serve … --allow ciq", func(e *examined, t *testing.T, advice string) {
			_, root, _ := strings.Cut(advice, "--allow ")
			e.start(t, "--allow", root, "--allow", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "--addr", strings.TrimPrefix(e.url, "http://"))
		}},
		{"has another store", func(t *testing.T, e *examined, addr string) {
			e.start(t, "--addr", addr)
			e.store += "-other"
		}, "it serves another store", "with its IMAGE2IPFS_PATH", func(e *examined, _ *testing.T, _ string) { e.store = strings.TrimSuffix(e.store, "-other") }},
	}
}

func TestDoctorServers(t *testing.T) {
	for _, s := range slices.Concat(serverStates(), gatewayStates()) {
		t.Run(s.name, func(t *testing.T) {
			addr := freeAddr(t)
			e := &examined{program: newProgram(t), dir: t.TempDir(), url: "http://" + addr}
			s.enter(t, e, addr)
			first := e.doctor(t)
			if first == nil || !strings.Contains(first.Detail, s.says) || !strings.Contains(first.Next, s.next) {
				t.Fatalf("doctor says %+v, expected %q and %q", first, s.says, s.next)
			}
			s.follow(e, t, first.Next)
			if again := e.doctor(t); again != nil {
				t.Errorf("followed %q, and doctor says %+v", first.Next, again)
			}
		})
	}
}

// A Kubo that asks for a password is told from none, and from an embedded store.
func TestDoctorKuboAsks(t *testing.T) {
	k := startKubo(t, "config", "--json", "API.Authorizations", `{"ci": {"AuthSecret": "bearer:sesame", "AllowedPaths": ["/api/v0"]}}`)
	addr := freeAddr(t)
	e := &examined{program: newProgram(t), dir: t.TempDir(), url: "http://" + addr, env: []string{"IPFS_API=" + k.api}}
	e.start(t, "--addr", addr)
	first := e.doctor(t)
	if first == nil || first.Check != "kubo" || !strings.Contains(first.Next, "--api-auth @FILE") {
		t.Fatalf("doctor says %+v, expected it to ask for --api-auth", first)
	}
	e.env = append(e.env, "IPFS_API_AUTH=bearer:sesame")
	if again := e.doctor(t); again != nil {
		t.Errorf("with the token doctor says %+v", again)
	}
}
