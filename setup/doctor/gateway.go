package doctor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// probeBlock is the block that each gateway has (trustless gateway specification,
// "Dedicated Probe Paths").
var probeBlock = cid.MustParse("bafkqaaa")

// Gateway checks that an IPFS gateway answers as the trustless gateway
// specification wants it.
func Gateway(ctx context.Context, address string) Check {
	c := Check{Name: "gateway " + address, Status: Problem}
	g, err := gateway.New(address, gateway.Options{})
	if err != nil {
		c.Detail, c.Next = oneLine(err), "write it as http://host:port"
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	began := time.Now()
	err = g.Has(ctx, ipfs.EmptyDirectory)
	if errors.Is(err, ipfs.ErrNotFound) { // as anything else that listens there says
		_, err = g.Get(ctx, probeBlock)
	}
	if err != nil {
		c.Detail, c.Next = oneLine(err), gatewayAdvice(err)
		return c
	}
	took := time.Since(began).Round(time.Millisecond)
	c.Status, c.Detail = OK, fmt.Sprintf("gives blocks, in %v, and ranges of files by path", took)
	if err := g.ByPath(ctx); errors.Is(err, ipfs.ErrUnavailable) {
		c.Status, c.Detail, c.Next = Problem, oneLine(err), gatewayAdvice(err)
	} else if err != nil {
		c.Detail = fmt.Sprintf("gives blocks, in %v, and is good to fetch from; no client can be redirected there: %s", took, oneLine(err))
	}
	return c
}

// gatewayAdvice is what to do about a gateway that does not answer as one.
func gatewayAdvice(err error) string {
	const leave = ", or leave it out of --gateway and IPFS_GATEWAY"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start it" + leave
	case errors.Is(err, ipfs.ErrNotFound), errors.Is(err, ipfs.ErrCorrupt):
		return "what answers there is no IPFS gateway: say where one is" + leave
	case errors.Is(err, context.DeadlineExceeded) && !isDialing(err):
		return "it hangs: see its log and start it anew" + leave
	case isDialing(err):
		return "see the name and the way there (a firewall, a machine that is off)" + leave
	}
	return "see that gateway's log" + leave
}
