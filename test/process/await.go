package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Await tries a condition until it gives nil, often at first and then every
// 50 ms. When ctx is over the error wraps what the condition said last, and
// [context.DeadlineExceeded] or [context.Canceled].
func Await(ctx context.Context, condition func() error) error {
	for pause := time.Millisecond; ; pause = min(pause*5/4+1, 50*time.Millisecond) {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Answers is the condition that a GET of url says 200.
func Answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		return nil
	}
}

// Dialer connects, from this machine or from a simulated one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Listens is the condition that somebody accepts connections, on "tcp" or
// "unix".
func Listens(from Dialer, network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := from.DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// Below the ports that the kernel gives to outgoing connections: between the
// look and the use nobody gets one of these by chance.
const firstPort, ports = 15000, 15000

var lastPort struct {
	sync.Mutex
	n int
}

// FreeAddr is an address on 127.0.0.1 that nobody listens on; each call gives
// another one.
func FreeAddr() (string, error) {
	lastPort.Lock()
	defer lastPort.Unlock()
	if lastPort.n == 0 {
		lastPort.n = rand.IntN(ports)
	}
	var failed error
	for range 100 {
		lastPort.n++
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.n%ports)
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		failed = err
	}
	return "", fmt.Errorf("no free port: %w", failed)
}
