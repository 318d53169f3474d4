package archive

import (
	"bytes"
	"fmt"
	"strings"
)

// foreign are formats that are not read, and what to do with them.
var foreign = []struct{ magic, is string }{
	{"\xfd7zXZ\x00", "compressed with xz, which is not read: type  xz -dc %s | image2ipfs publish -"},
	{"\x02\x21\x4c\x18", "compressed with lz4 of the legacy format, which is not read: type  lz4 -dc %s | image2ipfs publish -"},
	{"LZIP", "compressed with lzip, which is not read: type  lzip -dc %s | image2ipfs publish -"},
	{"\x5d\x00\x00", "compressed with lzma, which is not read: type  xz -dc %s | image2ipfs publish -"},
	{"\x1f\x9d", "compressed with compress, which is not read: type  gzip -dc %s | image2ipfs publish -"},
	{"PK\x03\x04", "a zip file: unpack it and publish the archive that is in it"},
	{"7z\xbc\xaf\x27\x1c", "a 7z file: unpack it and publish the archive that is in it"},
	{"SIF", "a Singularity image"},
	{"hsqs", "a squashfs file system, not an image"},
	{"\x7fELF", "a program"},
	{"<", "HTML or XML: was an error page saved in place of the archive?"},
}

// describe says what an input is that is no archive.
func (a *Archive) describe(head []byte) string {
	name := a.name
	if a.size < 0 {
		name = "FILE"
	}
	size := "of unknown size"
	if a.size >= 0 {
		size = fmt.Sprintf("of %d bytes", a.size)
	} else if len(head) < 512 {
		size = fmt.Sprintf("of %d bytes", len(head))
	}
	for _, f := range foreign {
		if !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		if strings.Contains(f.is, "%s") {
			return fmt.Sprintf(f.is, name)
		}
		return f.is
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return "a JSON file " + size + ": a manifest or index alone is no image; publish the directory or archive that holds it and its blobs/"
	case len(head) < 512:
		return fmt.Sprintf("%d bytes long", len(head))
	}
	return fmt.Sprintf("something %s that begins with %q", size, head[:8])
}
