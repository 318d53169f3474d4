package server

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// attachment is the Content-Disposition of blocks and CARs, which no browser shows:
// with the name that a request gives the file (path gateway spec, "filename"), else
// name.
func attachment(r *http.Request, name string) string {
	if given := givenName(r); given != "" {
		name = given
	}
	return disposition("attachment", name)
}

// ofFile is the Content-Disposition of a file: empty unless the request has something
// to say about it (path gateway spec, "Content-Disposition").
func ofFile(r *http.Request) string {
	name := givenName(r)
	switch {
	case r.URL.Query().Get("download") == "true":
		return disposition("attachment", name)
	case name != "":
		return disposition("inline", name)
	}
	return ""
}

// givenName is the name that a request gives the file, without directories; empty if
// it gives none.
func givenName(r *http.Request) string {
	given := path.Base(strings.ReplaceAll(r.URL.Query().Get("filename"), "\\", "/"))
	if given == "." || given == "/" || given == ".." {
		return ""
	}
	return given
}

// disposition spells a kind and a file's name: in quotes, and where it is not ASCII
// once with _ for what is not and once in UTF-8 (RFC 6266; RFC 8187, 3.2.3).
func disposition(kind, name string) string {
	if name == "" {
		return kind
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	value := kind + `; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(strings.ToValidUTF8(name, "_")), "+", "%20")
	}
	return value
}
