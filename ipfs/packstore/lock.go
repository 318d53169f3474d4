package packstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/owned"
)

const (
	lockPoll = 20 * time.Millisecond
	// aloneWait is for how long others are held back until those who share the lock of
	// the store have ended; then they have a turn as long.
	aloneWait = time.Second
)

// lockShared takes a lock that others may share.
func lockShared(ctx context.Context, path string) (unlock func() error, err error) {
	l, err := owned.Lock(path)
	if err != nil {
		return nil, err
	}
	if _, err := l.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), l.Close())
	}
	return l.Close, nil
}

// lockExclusive takes a lock alone; waiting is called once if that takes time.
func lockExclusive(ctx context.Context, path string, waiting func()) (unlock func() error, err error) {
	l, err := owned.Lock(path)
	if err != nil {
		return nil, err
	}
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

// tryShared takes a lock that others may share, unless somebody has it alone.
func tryShared(path string) (unlock func() error, ok bool, err error) {
	l, err := owned.Lock(path)
	if err != nil {
		return nil, false, err
	}
	if ok, err = l.TryRLock(); err != nil || !ok {
		return nil, false, errors.Join(err, l.Close())
	}
	return l.Close, true, nil
}

// lockWithin takes a lock alone, if that is possible within some time.
func lockWithin(ctx context.Context, path string, patience time.Duration) (unlock func() error, ok bool, err error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := owned.Lock(path)
	if err != nil {
		return nil, false, err
	}
	if ok, err = l.TryLockContext(within, lockPoll); ok {
		return l.Close, true, nil
	}
	if within.Err() != nil && ctx.Err() == nil {
		return nil, false, l.Close()
	}
	return nil, false, errors.Join(fmt.Errorf("locking %s: %w", path, err), l.Close())
}

// share takes the lock of the store as who brings something into it. Who waits to have
// it alone comes first, so that many who share it do not keep that one out.
func (d dir) share(ctx context.Context) (unlock func() error, err error) {
	pass, err := lockShared(ctx, d.gateLock())
	if err != nil {
		return nil, err
	}
	if unlock, err = lockShared(ctx, d.gcLock()); err != nil {
		return nil, errors.Join(err, pass())
	}
	if err = pass(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// alone takes the locks of the store as who takes something out of it: nobody publishes
// anything, or changes what is published. It is held for moments. Somebody may share the
// lock for long (a publication of a version in which that was usual), so those who come
// later are held back for aloneWait only.
func (d dir) alone(ctx context.Context, waiting func()) (unlock func() error, err error) {
	for {
		gate, err := lockExclusive(ctx, d.gateLock(), nil)
		if err != nil {
			return nil, err
		}
		lock, ok, err := lockWithin(ctx, d.gcLock(), aloneWait)
		if err != nil {
			return nil, errors.Join(err, gate())
		}
		if ok {
			commit, err := lockExclusive(ctx, d.commitLock(), nil)
			if err != nil {
				return nil, errors.Join(err, lock(), gate())
			}
			return func() error { return errors.Join(commit(), lock(), gate()) }, nil
		}
		waiting()
		if err := errors.Join(gate(), pause(ctx, aloneWait)); err != nil {
			return nil, err
		}
	}
}
