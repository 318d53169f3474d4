package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/silent"
)

// recheck is how often the files of a certificate are looked at, at most.
const recheck = time.Second

// TLS makes the configuration of a server whose certificate (PEM, with its
// chain) and key lie in two files. Both are read again when they change, so
// that a renewed certificate needs no restart; as long as what is there then is
// no pair, the old one is used and log is told. The error names the files.
func TLS(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: silent.Logger(log)}
	if err := c.load(c.stamp()); err != nil {
		return nil, err
	}
	c.looked = time.Now()
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: c.get,
	}, nil
}

// certificate is a certificate and its key in files that may change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	looked time.Time
	loaded stamp // of the files when they were last read
	pair   *tls.Certificate
}

// stamp tells one version of the two files from another.
type stamp struct{ cert, key fileStamp }

type fileStamp struct {
	size int64
	time time.Time
}

func (c *certificate) stamp() stamp {
	return stamp{stampOf(c.certFile), stampOf(c.keyFile)}
}

func stampOf(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

// load reads the files. They may change meanwhile: now is from before, so that
// the next look sees that.
func (c *certificate) load(now stamp) error {
	c.loaded = now
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}

// get is called for each handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < recheck {
		return c.pair, nil
	}
	c.looked = time.Now()
	if now := c.stamp(); now != c.loaded {
		if err := c.load(now); err != nil {
			c.log.Warn("the changed TLS certificate is of no use, the old one stays", "error", err)
		} else {
			c.log.Info("the TLS certificate was read again", "file", c.certFile)
		}
	}
	return c.pair, nil
}
