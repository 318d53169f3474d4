package passwords

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/reread"
)

func line(t testing.TB, user, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":" + string(hash) + "\n"
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Who is in the file comes in, by what it says now, and nobody else.
func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	const fromApache = "apache:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n" // of "myPassword", Apache's documentation
	write(t, file, "# people\n\n"+line(t, "ann", "secret")+line(t, "bob", "")+fromApache)
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		check := func(user, password string, want error) {
			t.Helper()
			for range 2 { // compared, and known
				if err := f.Check(t.Context(), user, user, password); !errors.Is(err, want) {
					t.Errorf("%s with %q: got %v, want %v", user, password, err, want)
				}
			}
		}
		check("ann", "secret", nil)
		check("ann", "secre", ErrWrong)
		check("ann", "", ErrWrong)
		check("bob", "", nil)
		check("nobody", "secret", ErrWrong)
		check("", "", ErrWrong)
		check("ann\x00", "secret", ErrWrong)
		check("apache", "myPassword", nil)

		write(t, file, line(t, "ann", "changed it"))
		time.Sleep(reread.Pause)
		check("ann", "secret", ErrWrong)
		check("ann", "changed it", nil)
		check("bob", "", ErrWrong)
	})
}

// A password is not compared for each request, which costs what a login may cost.
func TestVerifiedIsKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	write(t, file, line(t, "ann", "secret")+line(t, "bob", "another"))
	f, err := Open(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context(), "here", "ann", "secret"); err != nil {
		t.Fatal(err)
	}
	var all []func()
	for _, origin := range []string{"a", "b", "c"} { // nothing is compared any more
		release, err := f.turns.Take(t.Context(), origin, 1)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, release)
	}
	if err := f.Check(t.Context(), "here", "ann", "secret"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := f.Check(ctx, "a", "ann", "another"); !errors.Is(err, budget.ErrFull) {
		t.Errorf("got %v, want %v", err, budget.ErrFull)
	}
	for _, release := range all {
		release()
	}
	for i := range maxVerified {
		f.verified[f.sum(fmt.Sprint(i), "", nil)] = struct{}{}
	}
	if err := f.Check(t.Context(), "d", "bob", "another"); err != nil || len(f.verified) > maxVerified {
		t.Errorf("%d are known, %v", len(f.verified), err)
	}
}

// Who guesses is slowed down; who knows the password, or comes from elsewhere, is not.
func TestTries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	write(t, file, line(t, "ann", "secret"))
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(t.Context(), file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		guess := func(origin, password string) error { return f.Check(t.Context(), origin, "ann", password) }
		if err := guess("known", "secret"); err != nil {
			t.Fatal(err)
		}
		for i := range maxTries {
			if err := guess("known", fmt.Sprint(i)); !errors.Is(err, ErrWrong) {
				t.Fatalf("try %d: %v", i, err)
			}
		}
		var slow *TriesError
		if err := guess("known", "again"); !errors.As(err, &slow) || slow.After > tryPause || slow.After < tryPause/2 {
			t.Errorf("after %d tries: %v", maxTries, err)
		}
		if err := guess("known", "secret"); err != nil {
			t.Errorf("who has come in before: %v", err)
		}
		if err := guess("elsewhere", "wrong"); !errors.Is(err, ErrWrong) {
			t.Error(err)
		}
		time.Sleep(slow.After)
		if err := guess("known", "again"); !errors.Is(err, ErrWrong) {
			t.Errorf("after the pause: %v", err)
		}
	})
}

// A file that lets in nobody, or somebody by accident, is refused with its line.
func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	dear := strings.Replace(line(t, "ann", "x"), "$04$", "$15$", 1)
	for text, want := range map[string]string{
		"":                                    "names no user",
		"# nobody\n":                          "names no user",
		"ann\n":                               "line 1: expected user:hash",
		":x\n":                                "line 1: expected user:hash",
		"ann:{SHA}W6ph5Mm5Pz8GgiULbPgz=":      "line 1: the password of \"ann\" is not hashed by bcrypt",
		"\nann:$apr1$a$bcdefghijkl\n":         "line 2",
		dear:                                  "cost 15",
		line(t, "a", "1") + line(t, "a", "2"): "line 2: \"a\" is there twice",
		strings.Repeat("#", maxFile+1):        "at most",
	} {
		write(t, file, text)
		_, err := Open(t.Context(), file, Options{})
		if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "W6ph") {
			t.Errorf("%.30q: %v", text, err)
		}
	}
	if _, err := Open(t.Context(), file+".none", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	var log bytes.Buffer
	write(t, file, line(t, "a", "1"))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil || !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("log %q, %v", log.String(), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# x\n" + line(f, "ann", "secret")))
	f.Add([]byte("a:$2y$04$"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("$1")) { // a cost that makes the stand-in's hash take long
			return
		}
		u, err := parse(data)
		if err == nil && (len(u.hashes) == 0 || u.hashes[""] != nil) {
			t.Errorf("%q: %v", data, u.hashes)
		}
	})
}
