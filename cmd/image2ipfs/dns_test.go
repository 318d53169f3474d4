package main

import (
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// zone DOMAIN TEXT … makes these the TXT records that the file zone has.
func cmdZone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%2 != 0 {
		ts.Fatalf("usage: zone [DOMAIN TEXT]...")
	}
	var lines strings.Builder
	for i := 0; i < len(args); i += 2 {
		lines.WriteString(args[i] + " " + args[i+1] + "\n")
	}
	next := ts.MkAbs("zone.next") // who reads meanwhile sees the one or the other
	ts.Check(os.WriteFile(next, []byte(lines.String()), 0o600))
	ts.Check(os.Rename(next, ts.MkAbs("zone")))
}

// dns FILE answers questions for TXT records at $DNS: FILE, which is read each time, has
// in its lines a domain and the text of a record, or FAIL for a server that fails.
func cmdDNS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dns FILE")
	}
	file := ts.MkAbs(args[0])
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		_ = w.WriteMsg(txtRecords(file, r)) // a client that is gone
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	ts.Defer(func() { _, _ = server.Shutdown(), <-ended })
	ts.Setenv("DNS", conn.LocalAddr().String())
}

// txtRecords is what a zone's file says.
func txtRecords(file string, r *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(r)
	answer.Rcode = dns.RcodeNameError
	q := r.Question[0]
	text, err := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		domain, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if domain+"." != q.Name {
			continue
		}
		answer.Rcode = dns.RcodeSuccess
		if value == "FAIL" {
			answer.Rcode = dns.RcodeServerFailure
		} else if q.Qtype == dns.TypeTXT {
			answer.Answer = append(answer.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{value}})
		}
	}
	if err != nil {
		answer.Rcode = dns.RcodeServerFailure
	}
	return answer
}
