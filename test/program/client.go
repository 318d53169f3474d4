package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrWrongBytes is matched by errors about an answer that is whole, says 200 and
// is not what its digest says: nothing may ever excuse it.
var ErrWrongBytes = errors.New("WRONG BYTES")

// StatusError is an answer other than 200.
type StatusError struct {
	URL  string
	Code int
	Body string // its beginning
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: status %d: %s", e.URL, e.Code, e.Body) }

// Get fetches url, whose content must have the digest want unless that is
// empty. An answer other than 200 is a [StatusError]; one that is cut is another
// error.
func Get(ctx context.Context, c *http.Client, url string, want digest.Digest) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", url, err)
	case resp.StatusCode != http.StatusOK:
		return nil, &StatusError{url, resp.StatusCode, fmt.Sprintf("%.500s", data)}
	case want != "" && digest.FromBytes(data) != want:
		return nil, fmt.Errorf("%w: %s has %s", ErrWrongBytes, url, digest.FromBytes(data))
	}
	return data, nil
}

// Pull fetches the manifest "latest" of the repository, below the registry base
// ("http://host:port"), and all that it names, as an engine does, by fetch. The
// manifest must have the digest want unless that is empty. It gives the number
// of blobs.
func Pull(base, repository string, want digest.Digest, fetch func(url string, want digest.Digest) ([]byte, error)) (int, error) {
	url := base + "/v2/" + repository
	data, err := fetch(url+"/manifests/latest", want)
	if err != nil {
		return 0, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return 0, fmt.Errorf("manifest of %s: %w", repository, err)
	}
	blobs := append([]ocispec.Descriptor{m.Config}, m.Layers...)
	for i, d := range blobs {
		if _, err := fetch(url+"/blobs/"+d.Digest.String(), d.Digest); err != nil {
			return i, err
		}
	}
	return len(blobs), nil
}
