// Package passwords lets in whom a file names, as Apache's htpasswd writes it with
// bcrypt (htpasswd -B).
package passwords

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/internal/reread"
	"github.com/image2ipfs/image2ipfs/internal/silent"
)

const (
	maxFile = 1 << 20 // bytes of a file
	// maxCost is the most that a hash may cost to compare: each step doubles it, and
	// 14 are about a second.
	maxCost = 14
	// maxTries are the wrong passwords that one origin may send at once; after them one
	// each tryPause.
	maxTries = 10
	tryPause = 6 * time.Second
	// comparing is how many passwords are compared at once, of which one origin has
	// half at most.
	comparing = 4
	// maxVerified are the passwords that are known to be right; where there are more
	// all are forgotten.
	maxVerified = 4_096
)

// ErrWrong is matched by errors about a user that is not in the file, or has another
// password: they do not tell which.
var ErrWrong = errors.New("user or password is wrong")

// ErrFile is matched by errors about a file that makes no sense.
var ErrFile = errors.New("password file")

// TriesError says that an origin has sent too many wrong passwords.
type TriesError struct{ After time.Duration } // when it may try again

func (e *TriesError) Error() string {
	return fmt.Sprintf("too many wrong passwords from this address: the next is looked at in %s", e.After.Round(time.Second))
}

// File is a file of users and passwords, read again when it changes. It is safe for
// concurrent use.
type File struct {
	users *reread.Value[*users]
	turns *budget.Fair
	wrong *budget.Rates
	key   []byte // of the sums under which verified passwords are known; of this process alone

	mu       sync.Mutex
	verified map[[sha256.Size]byte]struct{}
}

// users are the hashes of a file.
type users struct {
	hashes map[string][]byte
	nobody []byte // is compared with what unknown users send, so that it takes as long
}

// Options are those of [Open].
type Options struct {
	Logger *slog.Logger // nil for silence
}

// Open reads a file. Errors match [ErrFile], or are those of reading it. What is wrong
// later is told to the logger, and what was there before stays.
func Open(ctx context.Context, file string, o Options) (*File, error) {
	log := silent.Logger(o.Logger)
	read, err := reread.Open(log, "passwords", func() (*users, error) { return readUsers(ctx, file, log) }, file)
	if err != nil {
		return nil, err
	}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &File{
		users: read, turns: budget.NewFair("passwords that are compared", comparing), wrong: budget.NewRates(tryPause, maxTries),
		key: key, verified: map[[sha256.Size]byte]struct{}{},
	}, nil
}

func readUsers(ctx context.Context, file string, log *slog.Logger) (*users, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others on this machine may read or change the file of passwords: chmod 600", "file", file, "mode", info.Mode().Perm().String())
	}
	data, err := input.ReadFile(ctx, file, maxFile)
	if errors.Is(err, input.ErrTooLarge) {
		return nil, fmt.Errorf("%w %w", ErrFile, err)
	}
	if err != nil {
		return nil, err
	}
	u, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrFile, file, err)
	}
	return u, nil
}

// parse reads lines "user:hash". Empty ones and those that begin with # say nothing.
// No error shows a hash, nor what may be a password.
func parse(data []byte) (*users, error) {
	u := &users{hashes: map[string][]byte{}}
	dearest, number := bcrypt.MinCost, 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, hash, found := bytes.Cut(line, []byte(":"))
		if !found || len(name) == 0 {
			return nil, fmt.Errorf("line %d: expected user:hash, as htpasswd -B writes it", number)
		}
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return nil, fmt.Errorf("line %d: the password of %q is not hashed by bcrypt ($2y$…): write it with htpasswd -B", number, name)
		}
		if cost > maxCost {
			return nil, fmt.Errorf("line %d: the hash of %q has cost %d, expected at most %d: each request of a new client would wait for it", number, name, cost, maxCost)
		}
		if u.hashes[string(name)] != nil {
			return nil, fmt.Errorf("line %d: %q is there twice", number, name)
		}
		u.hashes[string(name)], dearest = hash, max(dearest, cost)
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("it names no user: nobody could come in")
	}
	var err error
	u.nobody, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), dearest)
	return u, err
}

// Check tells whether the file has a user with this password. Origin is whose wrong
// ones are counted together. Errors match [ErrWrong], [*TriesError], or
// [budget.ErrFull] when ctx ends while others are compared.
func (f *File) Check(ctx context.Context, origin, user, password string) error {
	u := f.users.Get()
	hash, known := u.hashes[user]
	if !known {
		hash = u.nobody
	}
	sum := f.sum(user, password, hash)
	if known && f.isVerified(sum) {
		return nil
	}
	release, err := f.turns.Take(ctx, origin, 1)
	if err != nil {
		return err
	}
	defer release()
	if after := f.wrong.Wait(origin); after > 0 {
		return &TriesError{after}
	}
	wrong := bcrypt.CompareHashAndPassword(hash, []byte(password)) // in constant time
	if wrong != nil || !known {
		f.wrong.Try(origin)
		return ErrWrong
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.verified) >= maxVerified {
		clear(f.verified)
	}
	f.verified[sum] = struct{}{}
	return nil
}

// sum is under what a verified password is known: nobody else can make one, and a hash
// that is changed makes another.
func (f *File) sum(user, password string, hash []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, f.key)
	fmt.Fprintf(mac, "%q %q %q", user, password, hash)
	mac.Sum(sum[:0])
	return sum
}

func (f *File) isVerified(sum [sha256.Size]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.verified[sum]
	return ok
}
