package doctor

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/websafe"
)

// otherTimeout is far more than a server of this machine needs to say what it has, and
// nothing to who has just published.
const otherTimeout = time.Second

// HasOther tells whether a server of this machine answers at a URL and does not have a root
// that was just published here: its store is another. Nobody elsewhere is asked, and who
// does not answer at once is taken to have it.
func HasOther(ctx context.Context, server string, root cid.Cid) bool {
	u, err := url.Parse(server)
	if err != nil || !websafe.IsLocalHost(u.Host) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, unverified{}, true), otherTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, server+"/ipfs/"+root.String()+"?format=raw", nil)
	if err != nil {
		return false
	}
	resp, err := httpClient(ctx).Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusNotFound
}
