package local

import "time"

// SetNow has a collector take another time for now.
func (c *Collector) SetNow(now func() time.Time) { c.now = now }
