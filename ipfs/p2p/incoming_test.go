package p2p

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// pipe is a stream of a test.
type pipe struct {
	network.Stream
	conn net.Conn
}

func (p pipe) Read(b []byte) (int, error)        { return p.conn.Read(b) }
func (p pipe) Reset() error                      { return p.conn.Close() }
func (p pipe) SetReadDeadline(t time.Time) error { return p.conn.SetReadDeadline(t) }

// announce begins a stream whose sender says that n bytes follow.
func announce(t *testing.T, memory *budget.Share, origin string, n uint64) (m *messages, sender net.Conn, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	prefix := binary.AppendUvarint(nil, n)
	go theirs.Write(prefix)
	m = &messages{Stream: pipe{conn: ours}, memory: memory, origin: origin}
	_, err = io.ReadFull(m, make([]byte, len(prefix)))
	return m, theirs, err
}

// Who announces large messages and sends nothing must not hold memory for longer
// than sending takes, nor all of it, and keeps nobody with a small one waiting.
func TestMessagesThatNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := budget.NewShare("messages", 16<<20)
		var first []*messages
		for i := range 3 {
			m, _, err := announce(t, memory, "192.0.2.1", 4<<20)
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			first = append(first, m)
		}
		began := time.Now()
		if _, _, err := announce(t, memory, "192.0.2.1", 4<<20); !errors.Is(err, budget.ErrFull) || time.Since(began) != roomPatience {
			t.Errorf("a fourth of one address: %v after %s", err, time.Since(began))
		}
		if _, _, err := announce(t, memory, "192.0.2.1", 1000); err != nil {
			t.Errorf("a small one: %v", err)
		}
		m, sender, err := announce(t, memory, "192.0.2.2", 4<<20)
		if err != nil {
			t.Fatalf("another address: %v", err)
		}
		go sender.Write(make([]byte, 1<<20)) // and then silence
		began = time.Now()
		if n, err := io.ReadFull(m, make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n != 1<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
		if took := time.Since(began); took > startMessage+17*time.Second {
			t.Errorf("given up after %s", took)
		}
		for _, m := range first {
			_, err = io.ReadFull(m, make([]byte, 4<<20))
			if err == nil {
				t.Error("a message came of itself")
			}
		}
		if held, _ := memory.Held(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
}

// Messages that come, one behind the other, are read as they were sent.
func TestMessagesOneBehindTheOther(t *testing.T) {
	memory := budget.NewShare("messages", 16<<20)
	m, sender, err := announce(t, memory, "192.0.2.1", 20<<10)
	if err != nil {
		t.Fatal(err)
	}
	second := binary.AppendUvarint(nil, 300)
	go func() {
		sender.Write(make([]byte, 20<<10))
		sender.Write(second)
		sender.Write(make([]byte, 300))
		sender.Close()
	}()
	if _, err := io.ReadFull(m, make([]byte, 20<<10)); err != nil {
		t.Error(err)
	}
	if held, _ := memory.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
	rest, err := io.ReadAll(m)
	if err != nil || len(rest) != len(second)+300 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}
