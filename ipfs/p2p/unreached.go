package p2p

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// unreached are peers that did not answer, and why: "peer ID", an address or a name.
type unreached struct {
	mu  sync.Mutex
	why map[string]error
}

func (u *unreached) note(who string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.why == nil {
		u.why = map[string]error{}
	}
	u.why[who] = err
}

func (u *unreached) forget(who string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.why, who)
}

// text is how a message goes on that tells of peers: each by name.
func (u *unreached) text() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var lines []string
	for who, err := range u.why {
		first, _, _ := strings.Cut(err.Error(), "\n") // libp2p adds a line for each address
		lines = append(lines, fmt.Sprintf("%s: %s", who, first))
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return ": " + strings.Join(lines, "; ")
}

// What it may mean that a connection was made and could not be secured.
var (
	errOtherKey = errors.New("it does not have the swarm key of this node: both sides need the same, or none")
	errNoKey    = errors.New("it takes no connection that is not encrypted by its swarm key, of which this node has none: give --swarm-key")
	errBusy     = errors.New("it may also have as many connections as it takes: it ended this one at once")
)

// explained says by name that a peer could not be reached for want of the same
// swarm key, of which libp2p tells no more than that nothing could be negotiated.
// A peer that has too many connections does no more than end another.
func (n *Node) explained(err error) error {
	const unsecured = "negotiate security protocol: "
	_, why, ok := strings.Cut(err.Error(), unsecured)
	if !ok {
		return err
	}
	cause := errNoKey
	if n.hasKey {
		cause = errOtherKey
	}
	why, _, _ = strings.Cut(why, "\n")
	if strings.HasSuffix(why, "EOF") || strings.Contains(why, "reset") {
		return fmt.Errorf("%w; %w\n%w", cause, errBusy, err)
	}
	return fmt.Errorf("%w\n%w", cause, err)
}
