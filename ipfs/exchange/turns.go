package exchange

import (
	"cmp"
	"slices"
)

// turns are the jobs that lack something, in the order in which they may ask; x.mu is
// held. Those for which somebody waits come first, and of these that for which fewest
// bytes were asked: so a small file is not behind all of a large one. Who begins to wait
// has no more turns than the others for the time before.
func (x *Exchange) turns() []*job {
	jobs := slices.DeleteFunc(slices.Clone(x.queue), (*job).complete)
	least := int64(-1)
	for _, j := range jobs {
		if j.waited && (least < 0 || j.served < least) {
			least = j.served
		}
	}
	for _, j := range jobs {
		waits := len(j.urgent) > 0
		if waits && !j.waited {
			j.served = max(j.served, least)
		}
		j.waited = waits
	}
	slices.SortStableFunc(jobs, func(a, b *job) int {
		switch {
		case a.waited != b.waited && a.waited:
			return -1
		case a.waited != b.waited:
			return 1
		case !a.waited: // the oldest first
			return 0
		}
		return cmp.Compare(a.served, b.served)
	})
	return jobs
}
