package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const maxRedirects = 5 // path to subdomain gateway, http to https

// followWithin gives the redirect rule of a gateway's clients, for
// [http.Client.CheckRedirect]: a gateway may redirect to itself and to its
// subdomains for content (<cid>.ipfs.<host>), and from http to https, but to
// nowhere else. Whoever runs a gateway, or writes a page that it serves, must
// not decide whom this machine talks to.
func followWithin(base *url.URL) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if !within(base, req.URL) {
			return fmt.Errorf("it redirects to %s://%s, which is not configured; if the gateway has moved there, give that address", req.URL.Scheme, req.URL.Host)
		}
		return nil
	}
}

// within tells whether a gateway at base may send us to u.
func within(base, u *url.URL) bool {
	host, own := strings.ToLower(u.Hostname()), strings.ToLower(base.Hostname())
	label, isSubdomain := strings.CutSuffix(host, ".ipfs."+own)
	if host != own && (!isSubdomain || label == "" || strings.Contains(label, ".")) {
		return false
	}
	switch {
	case u.Scheme == base.Scheme:
		return port(u) == port(base)
	case base.Scheme == "http" && u.Scheme == "https":
		return port(u) == "443" && port(base) == "80" || port(u) == port(base)
	}
	return false
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
