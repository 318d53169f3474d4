// dockerd: a registry mirror, which names without a host are tried on first.

package setup

import (
	"encoding/json"
	"fmt"
	"runtime"
)

const recordSuffix = ".image2ipfs.json"

func (p *Plan) docker(o Options) error {
	path := o.daemonJSON()
	text, err := readable(path)
	if err != nil {
		return err
	}
	recordText, err := readable(path + recordSuffix)
	if err != nil {
		return err
	}
	var record *mirrorRecord
	if recordText != nil {
		if err := json.Unmarshal(recordText, &record); err != nil || record == nil || record.Mirror == "" {
			return fmt.Errorf("%w: %s, where setup writes down what it did, is damaged (%v); take the mirror out of %s by hand and remove it", ErrConfig, path+recordSuffix, err, path)
		}
	}
	plain, after, afterRecord, err := editDaemonJSON(text, record, p.Server, o.Undo)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	had := record != nil && string(plain) != string(text)
	if err := p.change(path, text, after, had); err != nil {
		return err
	}
	if err := p.change(path+recordSuffix, recordText, encodeRecord(afterRecord), true); err != nil {
		return err
	}
	p.Next = dockerReload(o)
	return nil
}

// editDaemonJSON takes out what the record says and puts the mirror in unless
// that is to be undone. Plain is the text between the two.
func editDaemonJSON(text []byte, record *mirrorRecord, mirror string, undo bool) (plain, after []byte, _ *mirrorRecord, err error) {
	plain = text
	if record != nil {
		if plain, err = removeMirror(text, record); err != nil {
			return nil, nil, nil, err
		}
	}
	if undo {
		return plain, plain, nil, nil
	}
	after, added, err := addMirror(plain, mirror)
	if err == nil && record != nil && record.Mirror == mirror && added != nil && plain != nil && string(plain) != string(text) {
		// It was there, perhaps moved by the user: it stays where it is.
		return plain, text, record, nil
	}
	return plain, after, added, err
}

func encodeRecord(r *mirrorRecord) []byte {
	if r == nil {
		return nil
	}
	r.What = "what image2ipfs setup docker put into daemon.json, so that setup docker --undo takes out that and nothing else"
	text, _ := json.MarshalIndent(r, "", "  ") // strings and booleans never fail
	return append(text, '\n')
}

// dockerReload says how dockerd takes the change over; containers go on running.
func dockerReload(o Options) []string {
	if runtime.GOOS != "linux" {
		return []string{"restart Docker Desktop, which runs dockerd in a virtual machine: --server has to be an address that it reaches, such as http://host.docker.internal:5000"}
	}
	if o.Rootless {
		return []string{"systemctl --user reload docker"}
	}
	return []string{"sudo systemctl reload docker   # without systemd: sudo kill -HUP $(pidof dockerd)"}
}
