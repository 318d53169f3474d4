// Package redact shows URLs that may have secrets in them.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands for what is not shown.
const Mark = "xxxxx"

// userinfo is what stands between "://" and the last "@" of an authority (RFC 3986,
// 3.2), also where a password has a character in it that ought to be escaped.
var userinfo = regexp.MustCompile(`://[^\s"',\]]*@`)

// Text is a text with URLs in it, whole or broken, without the users and passwords of
// those: a user's name alone may be a token.
func Text(text string) string { return userinfo.ReplaceAllString(text, "://"+Mark+"@") }

// URL is a URL, or what was taken for one, such as one without its scheme, without user and
// password, and without the query, which may be a token.
func URL(text string) string {
	text, _, asks := strings.Cut(text, "?")
	text = Text(text)
	if at := strings.LastIndexByte(text, '@'); at >= 0 && !strings.Contains(text, "://") && !strings.HasPrefix(text, "/") {
		text = Mark + text[at:]
	}
	if asks {
		text += "?" + Mark
	}
	return text
}

// Hook is a URL of which all but scheme and host may be a token, as that of a webhook; a
// path of a file is shown as it is.
func Hook(text string) string {
	scheme, rest, is := strings.Cut(URL(text), "://")
	if !is {
		return text
	}
	if host, path, _ := strings.Cut(rest, "/"); path != "" {
		rest = host + "/" + Mark
	}
	return scheme + "://" + rest
}
