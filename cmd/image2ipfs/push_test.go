package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
)

// push [USER:PASSWORD@]HOST REPOSITORY TAG [TEXT] pushes an image, with a layer of that text, as
// clients do, and prints the name that the answer tells.
func cmdPush(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: push HOST REPOSITORY TAG [TEXT]")
	}
	base := "http://" + args[0] + "/v2/" + args[1]
	blob := func(text string) string {
		d := digest.FromString(text)
		at := send(ts, http.MethodPost, base+"/blobs/uploads/", "", "").Header.Get("Location")
		send(ts, http.MethodPut, "http://"+args[0]+at+"?digest="+d.String(), "application/octet-stream", text)
		return fmt.Sprintf(`"digest":%q,"size":%d`, d, len(text))
	}
	config := blob(`{"architecture":"amd64","os":"linux"}`)
	layer := blob("layer " + strings.Join(args[3:], " "))
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",%s}]}`, mediaType, config, layer)
	name := send(ts, http.MethodPut, base+"/manifests/"+args[2], mediaType, manifest).Header.Get("Image2ipfs-Name")
	fmt.Fprintln(ts.Stdout(), name)
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
