// Package diskspace tells how much may still be written.
package diskspace

import "golang.org/x/sys/windows"

// Free is the number of bytes that may still be written below path. Errors are those of
// the system.
func Free(path string) (int64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return int64(free), err
}
