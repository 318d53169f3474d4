package server

import (
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// asker is what a redirect has to respect of who asks.
type asker struct {
	here    bool // on this machine, see fromHere
	secure  bool // asks by https, perhaps through a proxy that ends it
	shuns   bool // refuses redirects to private addresses
	literal bool // asks for what a gateway may answer in another way than this server
}

func askerOf(r *http.Request) asker {
	h := r.Header
	return asker{
		here:    fromHere(r),
		secure:  r.TLS != nil || overTLS(h),
		shuns:   strings.Contains(r.UserAgent(), "go-containerregistry"),
		literal: asksForMore(r),
	}
}

// fromHere tells whether a request comes from this machine: by the loopback, and
// not through a proxy that listens there for others.
func fromHere(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && addr.Addr().Unmap().IsLoopback() && !proxied(r.Header)
}

// ofProxies are fields by which proxies tell for whom they ask, beside X-Forwarded-….
var ofProxies = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "X-Cluster-Client-Ip", "X-Envoy-External-Address", "True-Client-Ip",
	"Cf-Connecting-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Proxyuser-Ip", "X-Azure-Clientip", "X-Original-Forwarded-For", "X-Forwarded",
}

// proxied tells whether a request has come through a proxy that says so.
func proxied(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(ofProxies, name) {
			return true
		}
	}
	return false
}

// overTLS tells whether a proxy says that who asked it came by https (RFC 7239, 5.4,
// and what was there before). Of several proxies any may say it.
func overTLS(h http.Header) bool {
	for name, yes := range map[string]string{
		"X-Forwarded-Proto": "https", "X-Forwarded-Protocol": "https", "X-Forwarded-Scheme": "https", "X-Scheme": "https", "X-Url-Scheme": "https",
		"X-Forwarded-Ssl": "on", "Front-End-Https": "on",
	} {
		for one := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
			if strings.EqualFold(strings.TrimSpace(one), yes) {
				return true
			}
		}
	}
	forwarded := strings.ToLower(strings.Join(h.Values("Forwarded"), ","))
	return strings.Contains(forwarded, "proto=https") || strings.Contains(forwarded, `proto="https"`) || strings.Contains(strings.ToLower(h.Get("Cf-Visitor")), `"scheme":"https"`)
}

// asksForMore tells whether a request has more than one range, a unit other than
// bytes, or a condition on this server's ETag (RFC 9110, 13.1), which is not the
// gateway's: gateways answer these as they like, with the first of several ranges
// alone, for instance.
func asksForMore(r *http.Request) bool {
	if several, _ := r.Context().Value(manyRanges{}).(string); several != "" {
		return true
	}
	if slices.ContainsFunc(conditions, func(name string) bool { return r.Header.Get(name) != "" }) {
		return true
	}
	ranges := r.Header.Values("Range")
	return len(ranges) > 1 || len(ranges) == 1 && !strings.HasPrefix(ranges[0], "bytes=")
}

// conditions are the fields that make a request conditional.
var conditions = []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"}

// target is what clients have to respect of a gateway's address. A name is taken
// to mean the same everywhere, but localhost.
type target struct {
	near    bool // loopback, link-local or unspecified: means another machine elsewhere
	private bool // near, or an address of a private network
	secure  bool // https
}

func targetOf(location string) (target, error) {
	u, err := url.Parse(location)
	if err != nil {
		return target{}, err
	}
	t := target{secure: u.Scheme == "https"}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if loopbackName(host) {
		t.near, t.private = true, true
		return t, nil
	}
	addr, err := netip.ParseAddr(host)
	if old, ok := oldIPv4(host); ok {
		addr, err = old, nil
	}
	if err != nil {
		return t, nil // a name
	}
	addr = embeddedIPv4(addr)
	t.near = addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4() && addr.As4()[0] == 0
	t.private = t.near || addr.IsPrivate()
	return t, nil
}

// loopbackName tells whether a host is a name of each machine's own loopback: what RFC
// 6761 reserves, and what distributions write into /etc/hosts.
func loopbackName(host string) bool {
	switch host {
	case "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6",
		"ip6-localhost", "ip6-loopback", "ipv6-localhost", "ipv6-loopback":
		return true
	}
	return strings.HasSuffix(host, ".localhost")
}

// nat64 is the well-known prefix of translators (RFC 6052, 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// embeddedIPv4 gives the IPv4 address that an IPv6 address stands for: IPv4-mapped,
// IPv4-compatible (RFC 4291, 2.5.5) or translated; others as they are.
func embeddedIPv4(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is4() {
		return addr
	}
	whole := addr.As16()
	compatible := [12]byte(whole[:12]) == [12]byte{} && (whole[12] != 0 || whole[13] != 0)
	if compatible || nat64.Contains(addr.WithZone("")) {
		return netip.AddrFrom4([4]byte(whole[12:]))
	}
	return addr
}

// oldIPv4 reads an address as inet_aton(3), and so most clients, do: one to four
// numbers, also in octal or hexadecimal, of which the last fills what is left.
func oldIPv4(host string) (addr netip.Addr, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return addr, false
	}
	var whole uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil || strings.Contains(part, "_") || strings.HasPrefix(part, "0b") || strings.HasPrefix(part, "0o") {
			return addr, false
		}
		whole = whole<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
}

// log says who is redirected to a gateway at t.
func (t target) log(log *slog.Logger, name string) {
	who := "all"
	switch {
	case t.near:
		who = "this machine"
	case !t.secure:
		who = "who asks by http"
	}
	log.Info("redirecting to", "gateway", name, "clients", who)
}

// follows tells whether the client can follow a redirect to t, and will.
func (c asker) follows(t target) bool {
	return !c.literal && (c.here || !t.near) && (!c.secure || t.secure)
}

// sent remembers who was redirected for what, for a while: who asks again did not
// get it there.
type sent struct {
	last *budget.Cache[[sha256.Size]byte, time.Time]
	keep time.Duration
}

const maxSent = 20_000 // about 4 MB

func newSent(keep time.Duration, memory *budget.Budget) *sent {
	return &sent{last: budget.NewCache[[sha256.Size]byte, time.Time](maxSent, 200, memory), keep: keep}
}

// key tells requests apart: those for other ranges of a blob are no repetition,
// nor is a GET after a HEAD.
func (s *sent) key(r *http.Request) [sha256.Size]byte {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return sha256.Sum256([]byte(strings.Join([]string{host, r.Method, r.URL.Path, r.Header.Get("Range"), r.UserAgent()}, "\n")))
}

// lately tells whether r repeats a request that was redirected.
func (s *sent) lately(r *http.Request) bool {
	at, ok := s.last.Get(s.key(r))
	return ok && time.Since(at) < s.keep
}

func (s *sent) note(r *http.Request) { s.last.Put(s.key(r), time.Now(), 1) }
