package p2p

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/image2ipfs/image2ipfs/internal/redact"
)

// ErrConfig is matched by errors about what a [Config] says.
var ErrConfig = errors.New("peer-to-peer configuration")

// ErrInUse is matched by errors about an address to listen on that another
// program has.
var ErrInUse = errors.New("another node, Kubo perhaps, runs there")

// DefaultListen is where a node listens that others are to connect to. A swarm
// key knows no QUIC.
func DefaultListen(hasSwarmKey bool) []string {
	const tcp, quic = "/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"
	if hasSwarmKey {
		return []string{tcp}
	}
	return []string{tcp, quic}
}

// parsed is what the texts of a Config mean.
type parsed struct {
	listen    []ma.Multiaddr
	peers     []peer.AddrInfo
	names     []dnsName // of many peers
	bootstrap []peer.AddrInfo
	psk       pnet.PSK // nil for none
	public    bool
}

func (p *parsed) hasDHT() bool { return p.public || len(p.bootstrap) > 0 }

func (c Config) parse() (*parsed, error) {
	p := &parsed{public: c.Public}
	for _, text := range c.Listen {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: address %q to listen on: %w; write it as /ip4/0.0.0.0/tcp/4001", ErrConfig, text, err)
		}
		p.listen = append(p.listen, a)
	}
	names, addrs, err := parseNames(c.Peers)
	if err != nil {
		return nil, err
	}
	p.names = names
	if p.peers, err = parsePeers(addrs); err != nil {
		return nil, err
	}
	if p.bootstrap, err = parsePeers(c.Bootstrap); err != nil {
		return nil, err
	}
	for _, text := range c.Routing {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("%w: routing server %q: want a URL such as https://delegated-ipfs.dev", ErrConfig, redact.URL(text))
		}
	}
	if len(c.SwarmKey) > 0 {
		if p.psk, err = parseSwarmKey(c.SwarmKey); err != nil {
			return nil, fmt.Errorf("%w: swarm key: %w; want a file as Kubo writes it: /key/swarm/psk/1.0.0/, /base16/ and 64 hex digits, on three lines", ErrConfig, err)
		}
		if err := p.private(c); err != nil {
			return nil, err
		}
	}
	if c.Public && len(p.bootstrap) == 0 {
		p.bootstrap = dht.GetDefaultBootstrapPeerAddrInfos()
	}
	return p, nil
}

// Check tells what is wrong with a configuration before a node is made of it: private is
// for one that will have a swarm key. Errors match [ErrConfig].
func (c Config) Check(private bool) error {
	p, err := c.parse()
	if err == nil && private {
		err = p.private(c)
	}
	return err
}

// private refuses what would lead out of the network of a swarm key.
func (p *parsed) private(c Config) error {
	if c.Public {
		return fmt.Errorf("%w: the public network cannot be entered with a swarm key: nodes without the key are refused", ErrConfig)
	}
	for _, a := range p.listen {
		if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
			return fmt.Errorf("%w: address %s to listen on: with a swarm key only TCP is possible", ErrConfig, a)
		}
	}
	return nil
}

// NewSwarmKey makes a key of a private network, as Kubo writes it: three lines,
// the last of 64 hex digits.
func NewSwarmKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return fmt.Appendf(nil, "/key/swarm/psk/1.0.0/\n/base16/\n%x\n", key)
}

// parseSwarmKey reads a key file. Errors name the line and show nothing of what is
// in it: a key in the wrong place is still the key.
func parseSwarmKey(file []byte) (pnet.PSK, error) {
	psk, err := pnet.DecodeV1PSK(bytes.NewReader(file))
	if err == nil {
		return psk, nil
	}
	lines := strings.Split(strings.ReplaceAll(string(file), "\r\n", "\n"), "\n")
	switch {
	case lines[0] != "/key/swarm/psk/1.0.0/":
		return nil, errors.New("line 1 is not /key/swarm/psk/1.0.0/")
	case len(lines) < 2 || !slices.Contains([]string{"/base16/", "/base64/", "/bin/"}, lines[1]):
		return nil, errors.New("line 2 is none of /base16/, /base64/ and /bin/")
	}
	return nil, fmt.Errorf("line 3 does not hold 32 bytes as %s", lines[1])
}

// parsePeers reads multiaddrs that end in /p2p/ID, those of one peer together.
func parsePeers(texts []string) ([]peer.AddrInfo, error) {
	var addrs []ma.Multiaddr
	for _, text := range texts {
		a, err := ma.NewMultiaddr(text)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: peer %q: %w; want an address with the peer's ID, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… (image2ipfs id prints it)", ErrConfig, text, err)
		}
		addrs = append(addrs, a)
	}
	return peer.AddrInfosFromP2pAddrs(addrs...)
}
