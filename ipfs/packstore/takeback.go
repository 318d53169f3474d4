package packstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// earlier is what files held before they were written, by path; nil for none.
type earlier map[string][]byte

// show keeps roots and records, all or none. The caller holds the commit lock.
func (d dir) show(roots []ipfs.Root, records []ipfs.Record) error {
	was, err := d.before(roots, records)
	if err != nil {
		return err
	}
	for _, root := range roots {
		err = errors.Join(err, d.writeRoot(root))
	}
	if err == nil {
		err = d.writeRecords(records)
	}
	if err != nil {
		err = errors.Join(err, d.takeBack(was))
	}
	return err
}

// before reads what a commit is going to write over. The caller holds the commit lock.
func (d dir) before(roots []ipfs.Root, records []ipfs.Record) (earlier, error) {
	e := earlier{}
	for _, r := range roots {
		e[d.rootFile(r.CID)] = nil
	}
	for _, r := range records {
		e[d.recordFile(r.Key)] = nil
	}
	for path := range e {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		e[path] = data
	}
	return e, nil
}

// takeBack puts files back as they were: of a commit that is not sure to last nothing
// is shown.
func (d dir) takeBack(e earlier) error {
	var errs []error
	for path, data := range e {
		now, err := os.ReadFile(path)
		switch {
		case data == nil && errors.Is(err, os.ErrNotExist), err == nil && data != nil && bytes.Equal(now, data):
			continue // it did not come so far
		case data == nil:
			_, err = removeFile(path)
		default:
			err = d.replaceFile(path, data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("taking back %s: %w", filepath.Base(path), err))
		}
	}
	return errors.Join(errs...)
}
