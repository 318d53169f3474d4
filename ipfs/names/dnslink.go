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
	return func(ctx context.Context, domain string) ([]string, error) {
		texts, err := r.LookupTXT(ctx, domain)
		if failed, ok := errors.AsType[*net.DNSError](err); ok { // names the system's server
			to := *failed
			to.Server = address
			err = &to
		}
		return texts, err
	}
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

// dnsQuestion is put to DNS about a domain.
type dnsQuestion struct {
	began time.Time
	done  chan struct{} // closed when link and err are what came of it
	link  link          // the last one where there is no new one
	err   error
}

// dnslink gives the value of a domain's DNSLink (https://dnslink.dev): of its subdomain
// _dnslink, whose TXT record begins with "dnslink=". Who has an answer waits for a newer one
// for 2 s at most, and not again while no server of DNS answers.
func (r *Resolver) dnslink(ctx context.Context, domain string, m *ipfs.Meaning) (string, error) {
	m.Domain = domain
	r.mu.Lock()
	a := r.entry(domain)
	known, failed, ended := a.link, a.failed, a.ended
	r.mu.Unlock()
	now := time.Now()
	silent := failed != nil && !errors.Is(failed, ErrUnknown) && now.Before(ended.Add(dnsTTL))
	stale := error(nil)
	switch fresh := known.got.Add(dnsTTL); {
	case now.Before(fresh):
		if fresh.Sub(now) < dnsTTL/4 && !now.Before(ended.Add(askAgain)) {
			r.askDNS(domain) // so that who asks next need not wait
		}
	case failed != nil && now.Before(ended.Add(askAgain)):
		stale = failed
	case silent && now.Before(known.got.Add(dnsKept)):
		r.askDNS(domain)
		stale = failed
	default:
		known, stale = r.awaitDNS(ctx, domain, known)
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

// awaitDNS asks for a DNSLink; where the last one counts still, it is not waited for long.
func (r *Resolver) awaitDNS(ctx context.Context, domain string, last link) (link, error) {
	away := func() (link, error) {
		return last, fmt.Errorf("%w: the DNSLink of %s: %w", ipfs.ErrUnavailable, domain, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return away()
	}
	q := r.askDNS(domain)
	var late <-chan time.Time
	if time.Since(last.got) <= dnsKept {
		t := time.NewTimer(max(settle-time.Since(q.began), 0))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-q.done:
		return q.link, q.err
	case <-late:
		return last, fmt.Errorf("%w: the DNSLink of %s: no server of DNS has answered yet", ipfs.ErrUnavailable, domain)
	case <-ctx.Done():
		return away()
	}
}

// askDNS asks for a DNSLink, unless that is asked for, and remembers what comes of it.
func (r *Resolver) askDNS(domain string) *dnsQuestion {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.entry(domain)
	if a.dns != nil {
		return a.dns
	}
	q := &dnsQuestion{began: time.Now(), done: make(chan struct{}), link: a.link}
	if r.ctx.Err() != nil {
		q.err = fmt.Errorf("%w: asking for %s: this program ends", ipfs.ErrUnavailable, domain)
		close(q.done)
		return q
	}
	a.dns = q
	r.tasks.Go(func() {
		value, err := r.lookUpDNS(domain)
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.err = err; err == nil {
			q.link = link{value, time.Now()}
		}
		a.dns, a.link, a.failed, a.ended = nil, q.link, err, time.Now()
		close(q.done)
	})
	return q
}

// lookUpDNS asks for a DNSLink. Errors match [ErrUnknown] or [ipfs.ErrUnavailable].
func (r *Resolver) lookUpDNS(domain string) (string, error) {
	ctx, cancel := context.WithTimeout(r.ctx, dnsTimeout)
	defer cancel()
	texts, err := r.lookup(ctx, "_dnslink."+domain+".")
	if err == nil {
		return parseLink(domain, texts)
	}
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		return "", fmt.Errorf("%w: the domain %s has no DNSLink, a TXT record of _dnslink.%s", ErrUnknown, domain, domain)
	}
	return "", fmt.Errorf("%w: the DNSLink of %s: %w", ipfs.ErrUnavailable, domain, err)
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
