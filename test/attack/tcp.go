//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// watchTCP tells the most memory that the system has had for TCP until ctx is done, both
// sides of connections on this machine included, in bytes. It fails when that is more than
// half of what there is: beyond all of it the system resets connections, whosever they are
// (net.ipv4.tcp_mem, TCPAbortOnMemory).
func watchTCP(ctx context.Context) (most int64, err error) {
	page := int64(os.Getpagesize())
	limits, err := numbers("/proc/sys/net/ipv4/tcp_mem", "")
	if err != nil || len(limits) != 3 {
		return 0, fmt.Errorf("what the system has for TCP: %v, %w", limits, err)
	}
	for ctx.Err() == nil {
		// TCP: inuse N orphan N tw N alloc N mem N
		now, err := numbers("/proc/net/sockstat", "TCP:")
		if err != nil || len(now) != 5 {
			return most, fmt.Errorf("what the system takes for TCP: %v, %w", now, err)
		}
		most = max(most, now[4]*page)
		pause(ctx, 100*time.Millisecond)
	}
	if limit := limits[2] * page / 2; most > limit {
		return most, fmt.Errorf("the system took %d MiB for TCP, at most %d are allowed", most>>20, limit>>20)
	}
	return most, nil
}

// numbers are those of the first line of a file that begins with key.
func numbers(path, key string) (all []int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, key) {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if n, err := strconv.ParseInt(word, 10, 64); err == nil {
				all = append(all, n)
			}
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s: no line begins with %q", path, key)
}
