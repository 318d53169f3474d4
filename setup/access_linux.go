package setup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// extendedOf are a file's extended attributes but for those that speak of its content, or
// belong to the file system.
func extendedOf(path string) (map[string]string, error) {
	return attributes(func(data []byte) (int, error) { return unix.Listxattr(path, data) },
		func(name string, data []byte) (int, error) { return unix.Getxattr(path, name, data) })
}

// sameExtended gives f these attributes, and no others, such as a directory's ACL gives to
// all that is made in it.
func sameExtended(f *os.File, want map[string]string) error {
	fd := int(f.Fd())
	have, err := attributes(func(data []byte) (int, error) { return unix.Flistxattr(fd, data) },
		func(name string, data []byte) (int, error) { return unix.Fgetxattr(fd, name, data) })
	if err != nil {
		return err
	}
	for name := range have {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "security.") {
			if err := unix.Fremovexattr(fd, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, value := range want {
		if have[name] == value {
			continue
		}
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// attributes reads what list names; both give a size when data is empty.
func attributes(list func(data []byte) (int, error), get func(name string, data []byte) (int, error)) (map[string]string, error) {
	names, err := whole(list)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for name := range strings.SplitSeq(names, "\x00") {
		if name == "" || slices.Contains([]string{"security.ima", "security.evm", "security.capability"}, name) || strings.HasPrefix(name, "trusted.") {
			continue
		}
		value, err := whole(func(data []byte) (int, error) { return get(name, data) })
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) { // taken away meanwhile, or a label that this kernel does not know
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[name] = value
	}
	return found, nil
}

// whole reads all of what a call gives, which may grow between asking for its size and for it.
func whole(read func(data []byte) (int, error)) (string, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return "", err
		}
		data := make([]byte, n)
		if n, err = read(data); err == nil {
			return string(data[:n]), nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return "", err
		}
	}
}
