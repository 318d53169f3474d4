//go:build e2e

// What `make test` has no time for and `make test-all` tries.

package e2e

import (
	"os"
	"slices"
)

// thorough tells whether everything is tried.
func thorough() bool { return os.Getenv("E2E_EXTRAS") != "" }

// triedIn tells whether an archive is published in a mode, if there is little
// time: the redirecting modes have the archives that stand for others.
func (a archive) triedIn(m mode) bool {
	return thorough() || a.stands || !m.redirects
}

// triedBy tells whether an engine pulls an archive in a mode, if there is little
// time. Those that stand for others are pulled by all, in all modes, and again
// after a restart; of the rest each is pulled once by a quarter of the engines,
// each time by others, and a large one that some pull by the first of them.
func (a archive) triedBy(engine string, m mode, first bool) bool {
	switch {
	case thorough() || a.stands:
		return true
	case m.redirects || !first:
		return false
	case len(a.by) > 0:
		return engine == a.by[0]
	}
	position := slices.IndexFunc(archives, func(b archive) bool { return a.title() == b.title() })
	return (position+slices.Index(engineNames, engine))%4 == 0
}

// someOf keeps of the engines one of each family, if there is little time.
func someOf(engines map[string]engine) map[string]engine {
	if thorough() {
		return engines
	}
	some := map[string]engine{}
	for _, name := range []string{"dockerd20", "containerd2", "podman"} {
		if e, ok := engines[name]; ok {
			some[name] = e
		}
	}
	return some
}
