package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

var (
	// ErrUnreachable is matched by errors about a registry that does not answer, or
	// not now; they match [ipfs.ErrUnavailable], too.
	ErrUnreachable error = unreachable{}
	// ErrUnauthorized is matched by errors about a registry that wants other
	// credentials; they name the command to log in with.
	ErrUnauthorized = errors.New("not authorized")
)

// unreachable matches ipfs.ErrUnavailable and does not speak of IPFS.
type unreachable struct{}

func (unreachable) Error() string        { return "registry does not answer" }
func (unreachable) Is(target error) bool { return target == ipfs.ErrUnavailable }

// absent is an answer with status 404 that says what is missing.
type absent struct {
	kind    error // of package oci
	message string
}

func (a *absent) Error() string   { return a.message }
func (a *absent) Unwrap() []error { return []error{a.kind, errdef.ErrNotFound} }

// kinds are what the codes of a 404 mean.
var kinds = map[string]error{
	errcode.ErrorCodeNameUnknown: oci.ErrNameUnknown, errcode.ErrorCodeManifestUnknown: oci.ErrManifestUnknown,
	errcode.ErrorCodeManifestInvalid: oci.ErrManifestInvalid, errcode.ErrorCodeBlobUnknown: oci.ErrNotFound,
}

// maxAnswer is how many bytes of an error are read.
const maxAnswer = 64 << 10

// readAbsent reads the body of a 404.
func readAbsent(res *http.Response) error {
	defer res.Body.Close()
	a := &absent{kind: oci.ErrNotFound, message: "404 Not Found"}
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err == nil && json.Unmarshal(data, &body) == nil && len(body.Errors) > 0 {
		a.message = cmp.Or(body.Errors[0].Message, body.Errors[0].Error())
		if kind, ok := kinds[body.Errors[0].Code]; ok {
			a.kind = kind
		}
	}
	return a
}

// failed says of an error what it means and what to do.
func (r *Repository) failed(what string, err error) error {
	var answer *errcode.ErrorResponse
	var broken *url.Error
	var network net.Error
	login := r.host
	if login == "registry-1.docker.io" || login == "docker.io" {
		login = ""
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, auth.ErrBasicCredentialNotFound), errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s: %s: log in first: docker login %s  (or podman login): %w", ErrUnauthorized, r, what, login, err)
	case answer != nil && answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %s: %s: who is logged in may not do that; another account: docker login %s: %w", ErrUnauthorized, r, what, login, err)
	case answer != nil && (answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError):
		return fmt.Errorf("%w: %s: %s: %w", ErrUnreachable, r, what, err)
	case errors.As(err, &broken), errors.As(err, &network):
		return fmt.Errorf("%w: %s: %s: %w", ErrUnreachable, r, what, err)
	case errors.Is(err, errdef.ErrNotFound) && !errors.Is(err, oci.ErrNotFound) && !errors.Is(err, oci.ErrCorrupt):
		return fmt.Errorf("%w: %s: %s: %w", oci.ErrNotFound, r, what, err)
	}
	return fmt.Errorf("%s: %s: %w", r, what, err)
}
