package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// maxListed is how many sources a list may have.
const maxListed = 100_000

// byteOrderMark is what some editors write before the first line.
const byteOrderMark = "\ufeff"

// ReadList reads a list of sources, one on each line; empty lines and those that begin
// with # are passed over. Errors match [ErrSpelling], or are those of r.
func ReadList(r io.Reader) ([]string, error) {
	var list []string
	lines := bufio.NewScanner(r)
	n := 0
	for ; lines.Scan(); n++ {
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), byteOrderMark))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if list = append(list, text); len(list) > maxListed {
			return nil, fmt.Errorf("%w: the list has more than %d sources", ErrSpelling, maxListed)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: line %d of the list has more than %d bytes", ErrSpelling, n+1, bufio.MaxScanTokenSize)
	} else if err != nil {
		return nil, fmt.Errorf("reading the list of sources: %w", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: the list has no source in it", ErrSpelling)
	}
	return list, nil
}

// Each calls do for each of n sources, so many of them at once, whatever fails, and
// done with what came of it, in their order and never twice at once.
func Each(ctx context.Context, n, parallel int, do func(ctx context.Context, i int) error, done func(i int, err error)) {
	var mu sync.Mutex
	results := make([]*error, n)
	told := 0
	var g errgroup.Group
	g.SetLimit(parallel)
	for i := range n {
		g.Go(func() error {
			err := ctx.Err()
			if err == nil {
				err = do(ctx, i)
			}
			mu.Lock()
			defer mu.Unlock()
			for results[i] = &err; told < n && results[told] != nil; told++ {
				done(told, *results[told])
			}
			return nil
		})
	}
	_ = g.Wait() // none of them returns an error
}
