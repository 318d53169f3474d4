package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// maxDepth bounds how deep JSON that no one here knows may be nested in an index.
const maxDepth = 100

// Fields of an index that matter.
const (
	fieldEntries = "entries"
	fieldSplit   = "tarSplitDigest"
)

// indexJSON reads the JSON of an index token by token: it is somebody else's, and
// one token of it may be inflated to any size.
type indexJSON struct {
	*json.Decoder
	text *bounded
}

// readIndex reads the JSON of an index, of which its readers have to understand the
// same: encoding/json takes the last of several fields of a name, however that is
// spelled, others take another. So each field that matters is there once, spelled as
// in the format, at the top. entry is given each entry's JSON, none for "entries":
// null, as podman writes an empty layer, and where it ends in the text. split is the
// digest of the tar-split, if told.
func readIndex(ctx context.Context, r io.Reader, entry func(raw []byte, end int64) error) (split digest.Digest, err error) {
	text := &bounded{r, ctx, 0}
	x := &indexJSON{json.NewDecoder(text), text}
	if err := x.object(); err != nil {
		return "", err
	}
	seen := map[string]bool{}
	for x.more() {
		token, err := x.token()
		if err != nil {
			return "", err
		}
		field, _ := token.(string) // as each key is
		known, err := knownField(field)
		if err == nil && known != "" && seen[known] {
			err = fmt.Errorf("the field %q is there twice", field)
		}
		if err != nil {
			return "", err
		}
		seen[known] = true
		switch known {
		case fieldEntries:
			err = x.entries(entry)
		case fieldSplit:
			split, err = x.digest(known)
		default:
			err = x.skip()
		}
		if err != nil {
			return "", err
		}
	}
	if _, err := x.token(); err != nil { // the other brace
		return "", err
	}
	if token, err := x.token(); err == nil {
		return "", fmt.Errorf("expected the end behind the object, found %v", token)
	} else if err != io.EOF {
		return "", err
	}
	if !seen[fieldEntries] {
		return "", fmt.Errorf("it has no field %q", fieldEntries)
	}
	return split, nil
}

// knownField gives the field that matters by this name, if any.
func knownField(name string) (string, error) {
	for _, known := range []string{fieldEntries, fieldSplit} {
		if name == known {
			return known, nil
		}
		if strings.EqualFold(name, known) {
			return "", fmt.Errorf("expected the field %q, found %q, which not all readers take for it", known, name)
		}
	}
	if name == "" {
		return "", errors.New("a field has no name, where some readers stop")
	}
	return "", nil
}

func (x *indexJSON) token() (json.Token, error) {
	x.text.left = maxEntryRead
	token, err := x.Token()
	return token, jsontext.Fault(err)
}

func (x *indexJSON) more() bool {
	x.text.left = maxEntryRead
	return x.More()
}

// object begins one.
func (x *indexJSON) object() error {
	token, err := x.token()
	if err == nil && token != json.Delim('{') {
		err = fmt.Errorf("expected an object, found %v", token)
	}
	return err
}

// entries gives entry the entries of the list that follows.
func (x *indexJSON) entries(entry func(raw []byte, end int64) error) error {
	switch token, err := x.token(); {
	case err != nil:
		return err
	case token == nil:
		return nil
	case token != json.Delim('['):
		return fmt.Errorf("field %s: expected a list, found %v", fieldEntries, token)
	}
	var raw json.RawMessage
	for x.more() {
		x.text.left = maxEntryRead
		if err := x.Decode(&raw); err != nil {
			return jsontext.Fault(err)
		}
		if err := checkEntry(raw); err != nil {
			return err
		}
		if err := entry(raw, x.InputOffset()); err != nil {
			return err
		}
	}
	_, err := x.token()
	return err
}

func (x *indexJSON) digest(field string) (digest.Digest, error) {
	token, err := x.token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if token != nil && !ok {
		return "", fmt.Errorf("field %s: expected a digest, found %v", field, token)
	}
	return digest.Digest(text), nil
}

// skip passes over the value that follows.
func (x *indexJSON) skip() error {
	for depth := 0; ; {
		token, err := x.token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > maxDepth {
			return fmt.Errorf("it is nested more than %d deep", maxDepth)
		}
	}
}

// checkEntry refuses an entry that readers would understand otherwise than
// encoding/json: with a field twice, with one whose name folds to another's by
// letters outside of ASCII alone, or with bytes that are no text.
func checkEntry(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("an entry is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	x := &indexJSON{d, &bounded{}} // all is there
	if err := x.object(); err != nil {
		return err
	}
	var fields []string // some fifteen
	for x.more() {
		token, err := x.token()
		if err != nil {
			return err
		}
		field, _ := token.(string)
		for _, before := range fields {
			if strings.EqualFold(before, field) {
				return fmt.Errorf("an entry has the field %q twice", field)
			}
		}
		if field == "" || strings.ContainsFunc(field, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return fmt.Errorf("an entry has a field %q, which readers take for different ones", field)
		}
		if fields = append(fields, field); len(fields) > maxFields {
			return fmt.Errorf("an entry has more than %d fields", maxFields)
		}
		if err := x.skip(); err != nil {
			return err
		}
	}
	return nil
}

// maxFields bounds those of one entry.
const maxFields = 100
