package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sink is a registry that takes pushes and forgets them: what a push into it takes is
// what the client does, and the way there.
type sink struct {
	*http.Server
	addr string
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{&http.Server{Handler: http.HandlerFunc(swallow), ReadHeaderTimeout: time.Minute}, l.Addr().String()}
	go func() { _ = s.Serve(l) }() // until Close
	return s, nil
}

// swallow answers what pushes ask (distribution-spec, "Push").
func swallow(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	h := w.Header()
	uploads := strings.Contains(r.URL.Path, "/blobs/uploads/")
	switch {
	case r.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPost && uploads, r.Method == http.MethodPatch && uploads:
		at, _, _ := strings.Cut(r.URL.Path, "/uploads/")
		h.Set("Location", at+"/uploads/1")
		h.Set("Range", "0-"+strconv.FormatInt(max(n-1, 0), 10))
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		h.Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
