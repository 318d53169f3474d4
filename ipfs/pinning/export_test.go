package pinning

import "time"

// SetPatience has [Client.Wait] give up earlier.
func (c *Client) SetPatience(d time.Duration) { c.patience = d }
