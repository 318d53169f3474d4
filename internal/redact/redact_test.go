package redact

import (
	"strings"
	"testing"
)

// Whoever shows a log, a list of settings or an error shows no password.
func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://gateway.local:8080":               "http://gateway.local:8080",
		"https://token@gateway.local/ipfs":        "https://xxxxx@gateway.local/ipfs",
		"https://ann:secret@gateway.local":        "https://xxxxx@gateway.local",
		"https://ann:sec/ret@gateway.local":       "https://xxxxx@gateway.local",
		"https://ann:sec@ret@gateway.local":       "https://xxxxx@gateway.local",
		"ftp://ann:secret%zz@gateway.local":       "ftp://xxxxx@gateway.local",
		"https://ci.example/hook?token=secret":    "https://ci.example/hook?xxxxx",
		"https://ann:secret@ci.example/?x=secret": "https://xxxxx@ci.example/?xxxxx",
		"/var/log/events":                         "/var/log/events",
		"/ip4/127.0.0.1/tcp/5001":                 "/ip4/127.0.0.1/tcp/5001",
		"":                                        "",
	} {
		if got := URL(text); got != want || strings.Contains(got, "secret") {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	list := `[http://a:secret@one,"http://b:secret@two/x,y",http://three]`
	if got, want := Text(list), `[http://xxxxx@one,"http://xxxxx@two/x,y",http://three]`; got != want {
		t.Errorf("a list is shown as %s, want %s", got, want)
	}
}
