package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// loopHeader tells a server through whom a question has come (RFC 8586): two that are each
// other's source must not wait for each other.
const loopHeader = "CDN-Loop"

// Record gives the record of an IPNS name that the gateway has or finds, unchecked, and
// how old it says that the answer is (trustless gateway specification,
// "application/vnd.ipfs.ipns-record"). Errors match [ipfs.ErrNotFound] when it finds
// none, or [ipfs.ErrUnavailable].
func (g *Gateway) Record(ctx context.Context, name string) (raw []byte, age time.Duration, err error) {
	header := http.Header{"Accept": {ipfs.TypeRecord}}
	if ipfs.IsForOthers(ctx) {
		header.Set(loopHeader, ipfs.LoopID)
	}
	a, err := g.send(ctx, http.MethodGet, g.url+"/ipns/"+name+"?format=ipns-record", header)
	if err != nil {
		return nil, 0, err
	}
	defer a.close()
	kind, _, _ := strings.Cut(a.resp.Header.Get("Content-Type"), ";")
	switch {
	case a.resp.StatusCode == http.StatusNotFound:
		return nil, 0, fmt.Errorf("%w: GET %s: the gateway has no record", ipfs.ErrNotFound, a.where)
	case a.resp.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(a.body, 4096)) // all of it keeps the connection
		if isNoRecord(string(text)) {
			return nil, 0, fmt.Errorf("%w: GET %s: the gateway answers %s: it finds no record", ipfs.ErrNotFound, a.where, a.resp.Status)
		}
		return nil, 0, fmt.Errorf("%w: GET %s: the gateway answers %s", ipfs.ErrUnavailable, a.where, a.resp.Status)
	case kind != ipfs.TypeRecord:
		return nil, 0, fmt.Errorf("%w: GET %s: it answers with %q instead of %q, so it may not be a gateway that gives records", ipfs.ErrUnavailable, a.where, kind, ipfs.TypeRecord)
	}
	if raw, err = io.ReadAll(io.LimitReader(a.body, ipfs.MaxRecord)); err != nil {
		return nil, 0, a.unavailable(err)
	}
	if seconds, err := strconv.ParseUint(a.resp.Header.Get("Age"), 10, 31); err == nil {
		age = time.Duration(seconds) * time.Second
	}
	return raw, age, nil
}

// isNoRecord tells whether Kubo's gateway says by 500 that it has found no record.
func isNoRecord(text string) bool {
	return strings.Contains(text, "routing: not found") || strings.Contains(text, "could not resolve name")
}

var _ ipfs.RecordSource = (*Gateway)(nil)
