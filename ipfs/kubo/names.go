package kubo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"time"

	shell "github.com/ipfs/go-ipfs-api"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// noRecord are the words by which Kubo says that nobody has a record. Where it is offline,
// or knows no peer to ask, others may have one.
var noRecord = []string{"routing: not found", "datastore: key not found"}

// Record has Kubo find the record of an IPNS name, in its own datastore and by its
// routing; it is not checked here. Errors match [ipfs.ErrNotFound] when it finds none, or
// [ipfs.ErrUnavailable]. Kubo searches until ctx ends, so give it a deadline.
func (e *Store) Record(ctx context.Context, name string) (raw []byte, age time.Duration, err error) {
	resp, err := e.send(ctx, e.shell.Request("routing/get", "/ipns/"+name))
	if err != nil {
		return nil, 0, withoutRecord(err)
	}
	defer resp.Output.Close()
	// One QueryEvent, whose Extra is the record in base64.
	const most = 2*ipfs.MaxRecord + 64<<10
	var event struct{ Extra string }
	if err := json.NewDecoder(io.LimitReader(resp.Output, most)).Decode(&event); err != nil {
		return nil, 0, withoutRecord(e.mapError(ctx, err))
	}
	if raw, err = base64.StdEncoding.DecodeString(event.Extra); err != nil {
		return nil, 0, fmt.Errorf("%w: %s answers to routing/get with what is not base64: %w", ipfs.ErrUnavailable, e, err)
	}
	return raw, 0, nil
}

func withoutRecord(err error) error {
	if answer, ok := errors.AsType[*shell.Error](err); ok {
		for _, words := range noRecord {
			if strings.Contains(answer.Message, words) {
				return fmt.Errorf("%w: %w", ipfs.ErrNotFound, err)
			}
		}
		if !errors.Is(err, ipfs.ErrNotFound) {
			return fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
		}
	}
	return err
}

// PutRecord has Kubo keep a record and tell its routing of it, so that it and its peers
// resolve the name. Errors match [ipfs.ErrUnavailable] when Kubo does not answer; others
// say why it takes none.
func (e *Store) PutRecord(ctx context.Context, name string, raw []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("value-file", "record")
	if err == nil {
		_, err = part.Write(raw)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		return err
	}
	r := e.shell.Request("routing/put", "/ipns/"+name).Option("allow-offline", true).
		Header("Content-Type", form.FormDataContentType()).Body(&body)
	err = e.exec(ctx, r)
	if err != nil && strings.Contains(err.Error(), "failed to find any peer in table") {
		return nil // it keeps the record, and has no peer to give it to
	}
	return err
}

var (
	_ ipfs.RecordSource = (*Store)(nil)
	_ ipfs.RecordSink   = (*Store)(nil)
)
