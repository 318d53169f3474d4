// Command sbom writes a software bill of materials (CycloneDX 1.5, JSON) of a Go
// binary: the modules that the linker recorded in it. The same binary gives the
// same bytes.
//
//	go run ./hack/sbom -binary bin/image2ipfs -o image2ipfs.cdx.json
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	binary := flag.String("binary", "bin/image2ipfs", "Go binary to describe")
	version := flag.String("version", "", "its version")
	out := flag.String("o", "image2ipfs.cdx.json", "file to write")
	flag.Parse()
	if err := write(*binary, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(binary, version, out string) (err error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(describe(info, version), cdx.SpecVersion1_5)
}

func describe(info *buildinfo.BuildInfo, version string) *cdx.BOM {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: info.Main.Path, Version: version,
		PackageURL: packageURL(info.Main.Path, version), BOMRef: info.Main.Path,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}}
	components := []cdx.Component{{
		Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion,
		PackageURL: packageURL("std", info.GoVersion), BOMRef: "std",
	}}
	refs := []string{"std"}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component(m))
		refs = append(refs, m.Path)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: info.Main.Path, Dependencies: &refs}}
	return bom
}

func component(m *debug.Module) cdx.Component {
	c := cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
		PackageURL: packageURL(m.Path, m.Version), BOMRef: m.Path,
	}
	if m.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}

// packageURL is a purl of type golang.
func packageURL(module, version string) string {
	return "pkg:golang/" + module + "@" + version
}
