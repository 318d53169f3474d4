package packstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

const lockPoll = 20 * time.Millisecond

// lockShared takes a lock that others may share.
func lockShared(ctx context.Context, path string) (unlock func() error, err error) {
	l := flock.New(path, flock.SetPermissions(0o600))
	if _, err := l.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), l.Close())
	}
	return l.Close, nil
}

// lockExclusive takes a lock alone; waiting is called once if that takes time.
func lockExclusive(ctx context.Context, path string, waiting func()) (unlock func() error, err error) {
	l := flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err == nil && !ok {
		if waiting != nil {
			waiting()
		}
		_, err = l.TryLockContext(ctx, lockPoll)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), l.Close())
	}
	return l.Close, nil
}
