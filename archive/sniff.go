package archive

import "bytes"

// IsGzip tells whether data begins as a gzip file (RFC 1952, section 2.3.1).
func IsGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}) }

// IsZstd tells whether data begins as a zstd file, also with a skippable frame
// (RFC 8878, sections 3.1.1 and 3.1.2).
func IsZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	return bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18})
}

// IsBzip2 tells whether data begins as a bzip2 file: the magic, the block size,
// and the mark of a block or of the end.
func IsBzip2(head []byte) bool {
	if len(head) < 10 || string(head[:3]) != "BZh" || head[3] < '1' || head[3] > '9' {
		return false
	}
	return string(head[4:10]) == "\x31\x41\x59\x26\x53\x59" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90"
}

// IsTar tells whether data begins as a tar archive, which may be empty or older
// than POSIX: its first 512 bytes decide.
func IsTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	head = head[:512]
	if isZero(head) || bytes.HasPrefix(head[257:], []byte("ustar")) {
		return true
	}
	want, sum := 0, 0
	for _, b := range bytes.Trim(head[148:156], " \x00") {
		if b < '0' || b > '7' {
			return false
		}
		want = want<<3 | int(b-'0')
	}
	for i, b := range head {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	return sum == want
}

// IsLz4 tells whether data begins as an lz4 file: the magic of a frame (LZ4 Frame
// Format, "General Structure").
func IsLz4(head []byte) bool { return bytes.HasPrefix(head, []byte("\x04\x22\x4d\x18")) }
