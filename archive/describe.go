package archive

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// foreign are formats that are not read, and what to do with them.
var foreign = []struct{ magic, is, tool string }{
	{"\xfd7zXZ\x00", "something compressed with xz, which is not read", "xz"},
	{"\x02\x21\x4c\x18", "something compressed with lz4 of the legacy format, which is not read", "lz4"},
	{"LZIP", "something compressed with lzip, which is not read", "lzip"},
	{"\x5d\x00\x00", "something compressed with lzma, which is not read", "xz"},
	{"\x1f\x9d", "something compressed with compress, which is not read", "gzip"},
	{"PK\x03\x04", "a zip file: unpack it and publish the archive that is in it", ""},
	{"7z\xbc\xaf\x27\x1c", "a 7z file: unpack it and publish the archive that is in it", ""},
	{"SIF", "a Singularity image", ""},
	{"hsqs", "a squashfs file system, not an image", ""},
	{"\x7fELF", "a program", ""},
	{"<", "HTML or XML: was an error page saved in place of the archive?", ""},
}

// describe says what begins as head does and is no archive, of size bytes, -1 when that
// is unknown. It lies in a file compressed with outer, unless that is empty.
func (a *Archive) describe(head []byte, size int64, outer string) string {
	if size < 0 && len(head) < blockSize {
		size = int64(len(head))
	}
	bytesText := "of unknown size"
	if size >= 0 {
		bytesText = fmt.Sprintf("of %d bytes", size)
	}
	is, tool := "", ""
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			is, tool = f.is, f.tool
			break
		}
	}
	if again := compressor(head); again != "" && outer != "" {
		is, tool = "something compressed once more, with "+again, again
	}
	if tool != "" {
		return is + ": type  " + a.inflating(outer, tool) + " | image2ipfs publish -"
	}
	if is != "" {
		return is
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "a JSON file " + bytesText + ": a manifest or index alone is no image; publish the directory or archive that holds it and its blobs/"
	case len(head) == 0:
		return "nothing: did the command that should write it fail?"
	}
	return fmt.Sprintf("something %s that begins with %q", bytesText, head[:min(8, len(head))])
}

// inflating is the command that writes what is in the input, which is compressed with
// tool, and then with outer, unless that is empty.
func (a *Archive) inflating(outer, tool string) string {
	name := "FILE"
	if a.size >= 0 && a.name != standardInput {
		name = ShellWord(a.name)
	}
	if outer == "" {
		return tool + " -dc " + name
	}
	return outer + " -dc " + name + " | " + tool + " -dc"
}

// compressor is the program that wrote what begins as head does, of those whose files
// are read; empty for anything else.
func compressor(head []byte) string {
	switch {
	case IsGzip(head):
		return "gzip"
	case IsZstd(head):
		return "zstd"
	case IsBzip2(head):
		return "bzip2"
	case IsLz4(head):
		return "lz4"
	}
	return ""
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./@%+=:,][A-Za-z0-9_./@%+=:,-]*$`)

// ShellWord is a file's path as it is typed into a shell (POSIX.1-2017, "Shell Command
// Language", 2.2.2), and so that no program takes it for an option.
func ShellWord(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	if plainWord.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
