package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// slow is an upload that stays open over many rounds, while garbage is collected and what
// it has in common with other blobs is deleted. It ends with what it is to be, or with
// the server.
type slow struct {
	data []byte
	sent int
	at   string // path; empty when none is open
	tail int    // for contents of their own
}

// path is that of the blob.
func (s *slow) path() string {
	return "/v2/" + slowRepository + "/blobs/" + digest.FromBytes(s.data).String()
}

const (
	slowRepository = "pushed/slow"
	slowLeaf       = 1 << 20 // bytes from which on a block is cut and looked for in the store
)

// slowRound begins the upload, or perhaps sends the next part of it or ends it. The
// server lives.
func (t *trial) slowRound(ctx context.Context) error {
	var err error
	switch s := &t.slow; {
	case s.at == "":
		err = t.beginSlow(ctx)
	case s.sent < len(s.data):
		err = t.sendSlow(ctx)
	case t.choose.IntN(3) == 0:
		err = t.endSlow(ctx)
	}
	var status *program.StatusError
	if t.disk != nil && errors.As(err, &status) && status.Code >= http.StatusInternalServerError { // it is full
		t.full++
		if err := t.cancelSlow(ctx); err != nil {
			return err
		}
		_, _, err := t.registry.send(ctx, http.MethodDelete, t.slow.path(), nil, http.StatusAccepted, http.StatusNotFound)
		return err
	}
	if err != nil {
		return fmt.Errorf("an upload that was open while others worked: %w", err)
	}
	return nil
}

// beginSlow begins with what another blob begins with, too, which may be garbage soon.
func (t *trial) beginSlow(ctx context.Context) error {
	s := &t.slow
	like := t.pushings[t.choose.IntN(len(t.pushings))].blobs[2]
	s.tail++
	s.data, s.sent = slices.Concat(like, like, fmt.Append(nil, s.tail)), 0
	resp, _, err := t.registry.send(ctx, http.MethodPost, "/v2/"+slowRepository+"/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	s.at = resp.Header.Get("Location")
	return t.sendSlow(ctx)
}

func (t *trial) sendSlow(ctx context.Context) error {
	s := &t.slow
	next := min(len(s.data), s.sent+slowLeaf+1)
	_, _, err := t.registry.send(ctx, http.MethodPatch, s.at, s.data[s.sent:next], http.StatusAccepted)
	s.sent = next
	return err
}

// endSlow ends it, and looks whether it is there, also after gc, before it deletes it.
func (t *trial) endSlow(ctx context.Context) error {
	s := &t.slow
	at := s.at
	s.at = ""
	d := digest.FromBytes(s.data)
	if _, _, err := t.registry.send(ctx, http.MethodPut, at+"?digest="+d.String(), nil, http.StatusCreated); err != nil {
		return err
	}
	t.slowly++
	for range 2 {
		if _, err := program.Get(ctx, client, t.registry.base+s.path(), d); err != nil {
			return fmt.Errorf("LOST: a blob that was answered 201: %w", err)
		}
		if err := t.collect(); err != nil {
			return err
		}
	}
	_, _, err := t.registry.send(ctx, http.MethodDelete, s.path(), nil, http.StatusAccepted)
	return err
}

// slowIsGone looks whether the upload ended with the server.
func (t *trial) slowIsGone(ctx context.Context) error {
	s := &t.slow
	if s.at == "" {
		return nil
	}
	_, _, err := t.registry.send(ctx, http.MethodPatch, s.at, []byte("x"), http.StatusNotFound)
	s.at = ""
	return err
}

// cancelSlow ends the upload without a blob.
func (t *trial) cancelSlow(ctx context.Context) error {
	s := &t.slow
	if s.at == "" {
		return nil
	}
	_, _, err := t.registry.send(ctx, http.MethodDelete, s.at, nil, http.StatusNoContent, http.StatusNotFound)
	s.at = ""
	return err
}
