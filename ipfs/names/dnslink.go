package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// LookupTXT gives the TXT records of a domain, as [net.Resolver.LookupTXT] does.
type LookupTXT func(ctx context.Context, domain string) ([]string, error)

func systemTXT(ctx context.Context, domain string) ([]string, error) {
	return net.DefaultResolver.LookupTXT(ctx, domain)
}

// AskDNS asks one server of DNS at an address, host:port, in place of the system's.
func AskDNS(address string) LookupTXT {
	var dialer net.Dialer
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}}
	return r.LookupTXT
}

// Times of DNSLinks.
const (
	// dnsTTL is for how long a DNSLink is believed.
	dnsTTL = time.Minute
	// dnsKept is for how long the last one counts while no server of DNS answers.
	dnsKept = time.Hour
	// dnsTimeout bounds a question.
	dnsTimeout = 5 * time.Second
)

// link is what a domain's DNSLink was.
type link struct {
	value string
	got   time.Time
}

// dnslink gives the value of a domain's DNSLink (https://dnslink.dev): of its subdomain
// _dnslink, whose TXT record begins with "dnslink=".
func (r *Resolver) dnslink(ctx context.Context, domain string, m *ipfs.Meaning) (string, error) {
	m.Domain = domain
	r.mu.Lock()
	a := r.entry(domain)
	known, failed, ended := a.link, a.failed, a.ended
	r.mu.Unlock()
	now := time.Now()
	stale := error(nil)
	switch {
	case now.Before(known.got.Add(dnsTTL)):
	case failed != nil && now.Before(ended.Add(askAgain)):
		stale = failed
	default:
		known, stale = r.askDNS(ctx, domain, known)
	}
	if errors.Is(stale, ErrUnknown) || stale != nil && time.Since(known.got) > dnsKept {
		return "", stale
	}
	if stale != nil {
		r.warn("no server of DNS tells what a domain means now; the last answer counts", "domain", domain, "age", time.Since(known.got).Round(time.Second).String(), "error", stale)
	}
	heard(m, known.got, known.got.Add(dnsTTL), time.Time{}, stale)
	return known.value, nil
}

// askDNS asks for a DNSLink and remembers what came of it.
func (r *Resolver) askDNS(ctx context.Context, domain string, last link) (link, error) {
	asking, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	texts, err := r.lookup(asking, "_dnslink."+domain+".")
	value := ""
	if err == nil {
		value, err = parseLink(domain, texts)
	} else if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		err = fmt.Errorf("%w: the domain %s has no DNSLink, a TXT record of _dnslink.%s", ErrUnknown, domain, domain)
	} else {
		err = fmt.Errorf("%w: the DNSLink of %s: %w", ipfs.ErrUnavailable, domain, err)
	}
	if err == nil {
		last = link{value, time.Now()}
	}
	if err != nil && ctx.Err() != nil { // who asked went away, which says nothing to others
		return last, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.entry(domain)
	a.link, a.failed, a.ended = last, err, time.Now()
	return last, err
}

// parseLink finds the one path of IPFS or IPNS among TXT records. The error matches
// [ErrUnknown].
func parseLink(domain string, texts []string) (string, error) {
	var found []string
	for _, text := range texts {
		value, ok := strings.CutPrefix(text, "dnslink=")
		if ok && (strings.HasPrefix(value, "/ipfs/") || strings.HasPrefix(value, "/ipns/")) {
			found = append(found, value)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("%w: among %d TXT records of _dnslink.%s none is dnslink=/ipfs/… or dnslink=/ipns/…", ErrUnknown, len(texts), domain)
	}
	return "", fmt.Errorf("%w: _dnslink.%s has %d of them, and must have one: %s", ErrUnknown, domain, len(found), strings.Join(found, ", "))
}
