package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/notify"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// PushEvent tells of a manifest that was pushed: once for each tag that has another
// root by it, or once without a root. docs/reference has it field by field.
type PushEvent struct {
	Time      time.Time      `json:"time"`
	Name      string         `json:"name"`
	Tag       string         `json:"tag,omitempty"`
	Digest    digest.Digest  `json:"digest"`
	MediaType string         `json:"mediaType"`
	Subject   digest.Digest  `json:"subject,omitempty"`
	Root      *ref.Spellings `json:"root,omitempty"`
	Pull      string         `json:"pull,omitempty"`
	Again     string         `json:"recompressed,omitempty"`
	Size      int64          `json:"size"`
	NewBytes  int64          `json:"newBytes"`
	Client    string         `json:"client"`
	User      string         `json:"user,omitempty"`
	Agent     string         `json:"agent,omitempty"`
}

// Events takes what was pushed, one line of JSON for each [PushEvent]. It must be
// closed, after the server.
type Events struct{ lines *notify.Lines }

// ErrEvents is matched by errors about a target of events that makes no sense.
var ErrEvents = notify.ErrTarget

// CheckEvents tells what is wrong with a target of events, and opens nothing. The error
// matches [ErrEvents].
func CheckEvents(to string) error { return notify.Check(to) }

// OpenEvents has events appended to a file, or posted to an http or https URL until it
// takes them. Nobody waits for that; the logger is told of what nobody took. Errors match
// [ErrEvents], or are those of opening the file.
func OpenEvents(to string, o Options) (*Events, error) {
	lines, err := notify.Open(to, notify.Options{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	return &Events{lines}, nil
}

// Close hands over what waits, for at most some seconds.
func (e *Events) Close() error { return e.lines.Close() }

// tellEvents tells of a pushed manifest and what came of it; again are the names of
// what was recompressed, by tag.
func (s *Server) tellEvents(w *response, r *request, m pushed.Manifest, result pushed.Result, again map[string]string) {
	if s.cfg.Events == nil && s.page == nil {
		return
	}
	e := PushEvent{
		Time: time.Now().UTC().Truncate(time.Millisecond), Name: r.name,
		Digest: m.Descriptor.Digest, MediaType: m.Descriptor.MediaType, Subject: result.Subject,
		Size: result.Size, NewBytes: result.NewBytes, Client: s.requestOrigin(r.Request), User: w.user, Agent: clip(r.UserAgent()),
	}
	if !strings.Contains(r.reference, ":") { // no digest
		e.Tag = r.reference
	}
	if len(result.Roots) == 0 {
		s.send(e)
	}
	for _, root := range result.Roots {
		spelt := ref.Spell(root.CID)
		e.Tag, e.Size, e.Root = root.Tag, root.Size, &spelt
		e.Pull, e.Again = s.pullName(r.Request, r.name, root), again[root.Tag]
		s.send(e)
		e.NewBytes = 0 // told once
	}
}

func (s *Server) send(e PushEvent) {
	s.tellPage(e)
	if s.cfg.Events == nil {
		return
	}
	text, err := json.Marshal(e)
	if err != nil { // strings and numbers always marshal
		s.log.Error("an event cannot be told", "name", e.Name, "error", err)
		return
	}
	s.cfg.Events.lines.Send(text)
}

// pullName is by what a pushed image is pulled, as far as this server knows.
func (s *Server) pullName(r *http.Request, repository string, root pushed.Root) string {
	return ref.Name{Host: s.registryHost(r), Root: root.CID, Repository: repository}.String()
}
