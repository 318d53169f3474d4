//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// aim is what attackers know of a server. They are a process of their own, which
// gets what honest clients and the server leave of the processors, as if it ran on
// another machine; the memory and the network of that machine it has.
type aim struct {
	Addr       string
	Push       string // where it takes pushes
	TLS        bool
	Image      string // repository that honest clients pull
	Blob       string // path of its layer
	Root       cid.Cid
	File, Leaf cid.Cid // that of the layer, and a block of it
	Peer       *peer.AddrInfo
	Scale      int

	Costly, Stalled, Layers []string // paths, see gateway
}

// attacked has attackers at work until ctx is done.
func (t *target) attacked(ctx context.Context, a attack) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	known, err := json.Marshal(t.aim)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", self, "-as", a.name)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(known), &complaint
	if err := cmd.Run(); ctx.Err() == nil { // else they were killed
		return fmt.Errorf("the attackers ended: %w\n%s", errors.Join(err, io.EOF), complaint.Bytes())
	}
	return nil
}

// attackAs attacks what standard input names, as the attackers of one attack or, if
// none is called that, of all of them.
func attackAs(ctx context.Context, name string) error {
	var at aim
	if err := json.NewDecoder(os.Stdin).Decode(&at); err != nil {
		return err
	}
	chosen := attacks
	for i, a := range attacks {
		if a.name == name {
			chosen = attacks[i : i+1]
		}
	}
	var all sync.WaitGroup
	for _, a := range chosen {
		all.Go(func() { a.run(&at, ctx) })
	}
	all.Wait()
	return ctx.Err()
}

func (t *aim) base() string {
	if t.TLS {
		return "https://" + t.Addr
	}
	return "http://" + t.Addr
}

// status asks for a path and gives the status of the answer.
func (t *aim) status(ctx context.Context, host, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base()+path, nil)
	if err != nil {
		return 0, err
	}
	req.Host = host
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
