package kubo

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/input"
)

// Credentials are what an RPC API asks for whose API.Authorizations is set
// (https://github.com/ipfs/kubo/blob/master/docs/config.md#apiauthorizations). The
// zero value is none. They are never printed.
type Credentials struct{ header string }

// maxCredentials is more than any token has.
const maxCredentials = 64 << 10

// ParseCredentials understands what Kubo takes as AuthSecret and --api-auth:
// "bearer:TOKEN" or the token alone, "basic:USER:PASSWORD" or "basic:BASE64" of the two;
// and "@FILE" for a file that holds one of these. An empty text is none. Errors do not
// have the secret in them.
func ParseCredentials(ctx context.Context, text string) (Credentials, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		data, err := input.ReadFile(ctx, path, maxCredentials)
		if err != nil {
			return Credentials{}, fmt.Errorf("credentials for Kubo: %w", err)
		}
		if text = strings.TrimSpace(string(data)); text == "" || text[0] == '@' {
			return Credentials{}, fmt.Errorf("credentials for Kubo: %s holds none: expected bearer:TOKEN or basic:USER:PASSWORD", path)
		}
	}
	kind, secret, typed := strings.Cut(text, ":")
	if !typed {
		kind, secret = "bearer", text
	}
	switch {
	case text == "":
		return Credentials{}, nil
	case strings.ContainsAny(secret, "\r\n"):
		return Credentials{}, fmt.Errorf("credentials for Kubo: expected one line")
	case kind == "bearer" && secret != "":
		return Credentials{"Bearer " + secret}, nil
	case kind == "basic" && strings.Contains(secret, ":"):
		return Credentials{"Basic " + base64.StdEncoding.EncodeToString([]byte(secret))}, nil
	case kind == "basic" && userAndPassword(secret):
		return Credentials{"Basic " + secret}, nil
	}
	return Credentials{}, fmt.Errorf("credentials for Kubo: expected bearer:TOKEN, basic:USER:PASSWORD, basic:BASE64 of USER:PASSWORD, or @FILE")
}

// userAndPassword tells whether a text is USER:PASSWORD in base64, as a header has it.
func userAndPassword(text string) bool {
	plain, err := base64.StdEncoding.DecodeString(text)
	return err == nil && strings.Contains(string(plain), ":")
}

// String tells nothing, so that no log has a secret in it.
func (c Credentials) String() string {
	kind, _, _ := strings.Cut(c.header, " ")
	return strings.ToLower(kind)
}

// GoString is String.
func (c Credentials) GoString() string { return c.String() }

// authorized sends credentials along with each request to the API.
type authorized struct {
	credentials Credentials
	next        interface {
		http.RoundTripper
		CloseIdleConnections()
	}
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", a.credentials.header)
	}
	return a.next.RoundTrip(req)
}

// CloseIdleConnections serves http.Client.CloseIdleConnections.
func (a authorized) CloseIdleConnections() { a.next.CloseIdleConnections() }
