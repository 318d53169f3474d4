package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
)

// push [USER:PASSWORD@]HOST REPOSITORY TAG [TEXT] pushes an image, with a layer of that text, as
// clients do, and prints the name that the answer tells, and that of what it was
// recompressed to. With the text "tar" the layer is a compressed one of a file.
func cmdPush(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: push HOST REPOSITORY TAG|digest|signature [TEXT]")
	}
	base := "http://" + args[0] + "/v2/" + args[1]
	blob := func(text string) string {
		d := digest.FromString(text)
		at := send(ts, http.MethodPost, base+"/blobs/uploads/", "", "").Header.Get("Location")
		send(ts, http.MethodPut, "http://"+args[0]+at+"?digest="+d.String(), "application/octet-stream", text)
		return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(text))
	}
	text, layerType, rootfs := "layer "+strings.Join(args[3:], " "), "application/vnd.oci.image.layer.v1.tar", ""
	if text == "layer tar" {
		var diffID string
		text, diffID = compressedLayer(ts)
		layerType += "+gzip"
		rootfs = fmt.Sprintf(`,"rootfs":{"type":"layers","diff_ids":[%q]}`, diffID)
	}
	config := blob(`{"architecture":"amd64","os":"linux"` + rootfs + `}`)
	layer := blob(text)
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},`+
		`"layers":[{"mediaType":%q,%s}]}`, mediaType, config, layerType, layer)
	reference := args[2]
	if reference == "signature" { // of the image with this text
		subject := fmt.Sprintf(`"subject":{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest.FromString(manifest), len(manifest))
		manifest = strings.TrimSuffix(manifest, "}") + "," + subject + "}"
	}
	if reference == "digest" || reference == "signature" {
		reference = digest.FromString(manifest).String()
	}
	told := send(ts, http.MethodPut, base+"/manifests/"+reference, mediaType, manifest).Header
	fmt.Fprintln(ts.Stdout(), told.Get("Image2ipfs-Name"))
	for _, moved := range told.Values("Image2ipfs-Moved") {
		fmt.Fprintln(ts.Stdout(), "moved", moved)
	}
	for _, again := range told.Values("Image2ipfs-Recompressed") {
		fmt.Fprintln(ts.Stdout(), "recompressed", again)
	}
}

// compressedLayer is a layer with a file that is compressed as a whole, and its diff_id.
func compressedLayer(ts *testscript.TestScript) (layer, diffID string) {
	var plain, compressed bytes.Buffer
	w := tar.NewWriter(&plain)
	content := noise(100_000)
	ts.Check(w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	ts.Check(err)
	ts.Check(w.Close())
	z := gzip.NewWriter(&compressed)
	_, err = z.Write(plain.Bytes())
	ts.Check(errors.Join(err, z.Close()))
	return compressed.String(), sha256Of(plain.Bytes())
}

func send(ts *testscript.TestScript, method, url, mediaType, body string) *http.Response {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	login(req)
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode >= 300 {
		ts.Fatalf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp
}

// login sends user and password of a request's URL, as a client of Go does.
func login(req *http.Request) {
	if user := req.URL.User; user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
}
