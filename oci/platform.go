package oci

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FormatPlatform writes a descriptor's platform as "linux/arm/v7", "" for none.
func FormatPlatform(p *ocispec.Platform) string {
	if p == nil {
		return ""
	}
	return platforms.Format(*p)
}

// IsImageConfig tells whether a media type is that of an image's config, which
// states a platform; artifacts have configs of other types.
func IsImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == MediaTypeDockerConfig
}

// ConfigPlatform is the platform that an image's config states (image-spec, "OCI
// Image Configuration"), "" when it states none.
func ConfigPlatform(config []byte) string {
	var p ocispec.Platform
	if json.Unmarshal(config, &p) != nil || p.OS == "" {
		return ""
	}
	return platforms.Format(p)
}

// Quoted is a text of an image, such as a platform, as part of a line that people
// read: as it is, or as a Go string where it would break the line or the terminal.
func Quoted(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) || !utf8.ValidString(text) {
		return strconv.Quote(text)
	}
	return text
}
