package pinning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Wait asks again and again until a pin has ended, and calls tell at first and whenever
// something has changed, also that no good answer comes (Pin.Err). It gives up when none
// has come for ten minutes, or what makes no sense three times. Errors match [ErrFailed]
// for a pin that the service gave up, or are those of [Client.Get].
func (c *Client) Wait(ctx context.Context, p Pin, tell func(Pin)) (Pin, error) {
	tell(p)
	good, odd := time.Now(), 0
	for pause := 250 * time.Millisecond; !p.Status.Ended(); pause = min(2*pause, 5*time.Second) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p, ctx.Err()
		}
		now, err := c.Get(ctx, p.ID)
		if err == nil && !sameContent(now.CID, p.CID) {
			err = fmt.Errorf("%w: %s answers about %s, and was asked about %s", errNonsense, c, now.CID, p.CID)
		}
		if odd++; !errors.Is(err, errNonsense) {
			odd = 0
		}
		switch {
		case err == nil:
			good = time.Now()
		case ctx.Err() != nil || !errors.Is(err, ipfs.ErrUnavailable) || odd == maxOdd:
			return p, err
		case time.Since(good) > c.patience:
			return p, fmt.Errorf("no good answer for %s about %s, which may be pinned all the same: pin ls --service %s shows it: %w", c.patience, p.CID, c.service.Name, err)
		default:
			now = p
			now.Err = err
		}
		if now.Status != p.Status || InfoText(now.Info) != InfoText(p.Info) || errorText(now.Err) != errorText(p.Err) {
			tell(now)
		}
		p = now
	}
	if p.Status == Failed {
		return p, fmt.Errorf("%w: %s gave up %s%s", ErrFailed, c, p.CID, because(p.Info))
	}
	return p, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func because(info map[string]string) string {
	if text := InfoText(info); text != "" {
		return ": " + text
	}
	return ", and does not say why"
}
