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
		"ann:secret@gateway.local:8080":           "xxxxx@gateway.local:8080",
		"ann:sec/ret@gateway.local":               "xxxxx@gateway.local",
		"/var/log/a@b":                            "/var/log/a@b",
		"/ip4/127.0.0.1/tcp/5001":                 "/ip4/127.0.0.1/tcp/5001",
		"":                                        "",
	} {
		if got := URL(text); got != want || strings.Contains(got, "secret") {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"https://hooks.example/services/T0/secret":    "https://hooks.example/xxxxx",
		"https://ann:secret@ci.example/hook?x=secret": "https://xxxxx@ci.example/xxxxx",
		"https://ci.example/?x=secret":                "https://ci.example/xxxxx",
		"https://ci.example?x=secret":                 "https://ci.example?xxxxx",
		"https://ci.example/":                         "https://ci.example/",
		"/var/log/events":                             "/var/log/events",
	} {
		if got := Hook(text); got != want {
			t.Errorf("the hook %q is shown as %q, want %q", text, got, want)
		}
	}
	list := `[http://a:secret@one,"http://b:secret@two/x,y",http://three]`
	if got, want := Text(list), `[http://xxxxx@one,"http://xxxxx@two/x,y",http://three]`; got != want {
		t.Errorf("a list is shown as %s, want %s", got, want)
	}
}
