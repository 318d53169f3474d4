package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/oci"
)

// escape is what an attacker would like a terminal to read: each kind of control
// character, text that turns round, and a line of his own.
const escape = "\x1b]0;title\x07\x1b[2J\r\nFORGED\t\v\x7f\u009b2J\u0085\u202egnp\u2066\u2028FORGED\ufeff"

// escapes is an image that says it wherever an image says anything.
func escapes(names []string) []entry {
	l := ociLayout{}
	config := anImage.config
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob(ocispec.MediaTypeImageConfig, marshal(config)),
		Layers: []ocispec.Descriptor{
			{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("elsewhere"), Size: 9, URLs: []string{"https://layers.example/" + escape}},
			l.blob("application/vnd.example."+escape, gzipped(layers["app"])),
		},
		Annotations: map[string]string{ocispec.AnnotationTitle: escape},
	}
	image := l.blob(ocispec.MediaTypeImageManifest, marshal(m))
	image.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64", Variant: escape}
	index := l.blob(ocispec.MediaTypeImageIndex, marshal(oci.NewIndex([]ocispec.Descriptor{image})))
	return l.entries(append(named(index, names), oci.Named(index, escape))...)
}

// hostileFiles are archives that cannot be published, each for what it says.
func hostileFiles(dir string) map[string]string {
	image, files := saved(anImage, []string{escape})
	l := ociLayout{}
	odd := ocispec.Descriptor{MediaType: escape, Digest: digest.Digest(escape), Size: 3, Annotations: map[string]string{ocispec.AnnotationRefName: escape}}
	lost := image
	lost.Layers = []string{escape}
	made := map[string][]entry{
		"names":      append(files, manifestJSON(image)),
		"layer":      append(files, manifestJSON(lost)),
		"entry":      append(files, entry{name: "../" + escape, data: []byte("x")}, manifestJSON(image)),
		"link":       append(files, entry{name: "a", target: "/" + escape}, manifestJSON(image)),
		"descriptor": l.entries(odd),
		"mediatype":  l.entries(ocispec.Descriptor{MediaType: escape, Digest: digest.FromString("x"), Size: 1}),
		"json":       {{name: "manifest.json", data: []byte(`[{"Config":` + escape)}},
	}
	paths := map[string]string{}
	for name, entries := range made {
		paths[name] = filepath.Join(dir, name+".tar")
		check(writeArchive(paths[name], entries))
	}
	return paths
}

// hostileServer answers every request, of whichever protocol, with an error that
// says it.
func hostileServer(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ipfs-Error", escape)
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"Message": escape, "message": escape, "errors": []any{map[string]string{"code": escape, "message": escape}}})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// hostilePeers answers on the store's socket as a server whose peers say it.
func hostilePeers(t *testing.T, store string) {
	c, err := control.Lock(store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(c.Close()) })
	peer := map[string]any{"id": escape, "addr": escape, "protocols": []string{escape}, "agent": escape}
	if err := c.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = []any{peer}
		switch r.URL.Path {
		case "/fetches":
			answer = escape
		case "/trials":
			answer = []any{map[string]any{"peers": []string{escape}, "protocol": escape, "outcome": escape, "error": escape}, map[string]any{}}
		case "/id":
			answer = map[string]any{"id": escape, "addrs": []string{escape}, "running": true}
		}
		_ = json.NewEncoder(w).Encode(answer)
	})); err != nil {
		t.Fatal(err)
	}
}

// call is a command line, and whether what it prints has something of the image,
// peer or server in it.
type call struct {
	args  string // separated by blanks; @ is the escape, $X a value below
	shows bool
}

// hostileCalls has calls of every command there is.
var hostileCalls = map[string][]call{
	"image2ipfs":                 {{"-i $names", true}, {"@", true}, {"--@", true}},
	"image2ipfs publish":         {{"$good", true}, {"--json $good", true}, {"$names", true}, {"$layer", true}, {"$entry", true}, {"$link", true}, {"$descriptor", true}, {"$mediatype", false}, {"$json", false}, {"@", true}, {"-n -o $out $good", true}, {"--debug $good", true}, {"--recompress $good", true}, {"--lazy $good", true}, {"--api $server $good", true}, {"-r @ $good", true}},
	"image2ipfs client":          {{"-i $good", true}, {"-i $names --json", true}},
	"image2ipfs inspect":         {{"app:1", true}, {"--json app:1", true}, {"--shared app:1", true}, {"@", true}},
	"image2ipfs ls":              {{"", false}, {"--json", false}, {"--api $server", true}},
	"image2ipfs verify":          {{"app:1", true}, {"--json app:1", true}, {"--gateway $server $absent", false}, {"@", true}, {"--key @ app:1", true}, {"--key $daemon app:1", false}},
	"image2ipfs pull":            {{"--to oci:$out2 app:1", true}, {"--to oci-archive:$out3 --json app:1", true}, {"--to docker-archive:$out4 --platform linux/arm64 app:1", true}, {"--to oci:$out5 --platform linux/arm64 app:1", true}, {"--to docker-archive:$out6 app:1", true}, {"--gateway $server --to oci:$out7 $absent", true}, {"--to docker --docker-host $tcp app:1", true}, {"--to @ app:1", true}, {"--to oci:$out9 --platform @ app:1", true}, {"--to oci:$out8 $root:@", true}},
	"image2ipfs convert":         {{"--gateway $server $absent", true}, {"@", true}},
	"image2ipfs ref":             {{"@", true}, {"-f @ $absent", true}, {"$absent/@", false}},
	"image2ipfs pin":             {{"@", true}},
	"image2ipfs pin add":         {{"app:1", false}, {"--gateway $server $absent", true}, {"@", true}, {"--service pins app:1", false}, {"--service @ app:1", true}},
	"image2ipfs pin ls":          {{"", false}, {"@", true}},
	"image2ipfs pin rm":          {{"@", true}, {"app:9", false}},
	"image2ipfs service":         {{"@", true}},
	"image2ipfs service add":     {{"@ $server --token-file $daemon", true}, {"pins @ --token-file $daemon", false}, {"pins $server --replace --token-file $daemon", false}},
	"image2ipfs service ls":      {{"", false}, {"@", true}},
	"image2ipfs service rm":      {{"@", true}},
	"image2ipfs backup":          {{"$out10.car app:1", false}, {"--json $out11.car", false}, {"- @", true}, {"@/@ app:1", true}},
	"image2ipfs restore":         {{"$names", false}, {"--json $out10.car", false}, {"@", true}, {"--keys @ $out10.car", true}},
	"image2ipfs gc":              {{"--dry-run", false}, {"@", true}},
	"image2ipfs id":              {{"", true}, {"--json", true}},
	"image2ipfs peers":           {{"", true}, {"--json", true}},
	"image2ipfs where":           {{"app:1", false}, {"--json app:1", false}, {"--gateway $server $absent", true}, {"@", true}},
	"image2ipfs serve":           {{"--addr @", true}, {"--allow @", true}, {"--gateway @", true}, {"--log-format @", true}},
	"image2ipfs setup":           {{"docker --config $daemon", true}, {"docker --json --config $daemon", true}, {"@", true}, {"docker --server @", true}},
	"image2ipfs doctor":          {{"docker --server $server --gateway $server --docker $tcp --timeout 10s", true}, {"docker --json --server $server --gateway $server --docker $tcp --timeout 10s", true}},
	"image2ipfs rm":              {{"@", true}, {"app:1", false}}, // removes what the others need
	"image2ipfs tag":             {{"@ app:1", true}, {"new:1 @", true}},
	"image2ipfs untag":           {{"@", true}, {"app:9", false}},
	"image2ipfs config":          {{"@", true}},
	"image2ipfs config check":    {{"@", true}, {"$daemon", false}},
	"image2ipfs config ls":       {{"@", true}, {"--json $daemon", false}},
	"image2ipfs config example":  {{"@", true}},
	"image2ipfs du":              {{"", false}, {"--json app:1", false}, {"@", true}},
	"image2ipfs name":            {{"@", true}},
	"image2ipfs name create":     {{"@", true}, {"key", false}},
	"image2ipfs name publish":    {{"key app:1", false}, {"@ app:1", true}, {"key @", true}, {"--api $server key app:1", true}},
	"image2ipfs name resolve":    {{"@", true}, {"key", false}, {"--json key", false}, {"--gateway $server $moving", true}},
	"image2ipfs name ls":         {{"", false}, {"--json", false}, {"@", true}},
	"image2ipfs name export":     {{"@", true}, {"-o /dev/null/@ key", true}},
	"image2ipfs name import":     {{"@ $daemon", false}, {"other /dev/null/@", true}, {"other $daemon", false}},
	"image2ipfs name rm":         {{"@", true}},
	"image2ipfs health":          {{"--server @", true}, {"--server $server", true}},
	"image2ipfs swarm-key":       {{"/dev/null/@", true}},
	"image2ipfs completion":      {{"@", true}},
	"image2ipfs completion bash": {{"", false}}, "image2ipfs completion zsh": {{"", false}}, "image2ipfs completion fish": {{"", false}}, "image2ipfs completion powershell": {{"", false}},
	"image2ipfs help": {{"@", true}},
}

// What comes from an image, a peer or a server reaches no terminal as it is, from
// no command, on neither stream: what is printed would be whatever the image wants.
func TestNothingPrintedIsObeyed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program a hundred times")
	}
	values := hostileValues(t)
	env := append(os.Environ(), "IMAGE2IPFS_PATH="+values["store"], "IPFS_API=", "IPFS_PATH=", "IPFS_GATEWAY=")
	run := func(t *testing.T, path string, c call) {
		args := strings.Fields(path)[1:]
		for arg := range strings.FieldsSeq(c.args) {
			arg = os.Expand(arg, func(name string) string { return values[name] })
			args = append(args, strings.ReplaceAll(arg, "@", escape))
		}
		cmd := exec.Command("image2ipfs", args...)
		cmd.Env = env
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // most of these fail, as they must
		if !stuck.Stop() {
			t.Errorf("%q does not end: %s", args, errs.String())
		}
		for stream, text := range map[string][]byte{"output": out.Bytes(), "error": errs.Bytes()} {
			if raw := obeyedIn(text); raw != "" || bytes.Contains(append([]byte("\n"), text...), []byte("\nFORGED")) {
				t.Errorf("%q: standard %s has %s raw, or a line of the image: %q", args, stream, raw, text)
			}
		}
		if strings.Contains(c.args, "--json") && out.Len() > 0 && !json.Valid(out.Bytes()) {
			t.Errorf("%q prints no JSON: %s", args, out.String())
		}
		if shown := strings.Contains(out.String()+errs.String(), "]0;title"); shown != c.shows {
			t.Errorf("%q shows what it was given: %t, want %t; it printed %q, %q", args, shown, c.shows, out.String(), errs.String())
		}
	}
	if exec.Command("image2ipfs", "version").Run() == nil { // the first run of the binary under test
		t.Fatal("there is no command version")
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		calls := hostileCalls[cmd.CommandPath()]
		if len(calls) == 0 && cmd.Runnable() {
			t.Errorf("nothing tries what %s prints", cmd.CommandPath())
		}
		for _, c := range calls {
			t.Run(cmd.CommandPath()+" "+c.args, func(t *testing.T) { run(t, cmd.CommandPath(), c) })
		}
		children := cmd.Commands()
		for i := range children { // rm comes last
			if child := children[i]; child.Name() != "rm" && child.Parent() == cmd {
				walk(child)
			}
		}
	}
	root := newRoot(&bytes.Buffer{}, &bytes.Buffer{})
	walk(root)
	for _, path := range []string{"image2ipfs rm", "image2ipfs pin rm", "image2ipfs name rm"} {
		for _, c := range hostileCalls[path] {
			run(t, path, c)
		}
	}
}

// hostileValues makes what the calls are about.
func hostileValues(t *testing.T) map[string]string {
	dir := t.TempDir()
	values := hostileFiles(dir)
	values["store"] = filepath.Join(dir, "store")
	values["good"] = filepath.Join(dir, "good.tar")
	check(writeArchive(values["good"], escapes([]string{"app:1"})))
	for _, name := range []string{"out", "out2", "out3", "out4", "out5", "out6", "out7", "out8", "out9", "out10", "out11"} {
		values[name] = filepath.Join(dir, name)
	}
	values["daemon"] = filepath.Join(dir, "daemon.json")
	check(os.WriteFile(values["daemon"], marshal(map[string]any{"labels": []string{escape}}), 0o600))
	values["server"] = hostileServer(t)
	values["tcp"] = strings.Replace(values["server"], "http", "tcp", 1)
	values["absent"] = "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi"
	values["moving"] = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"
	publish := exec.Command("image2ipfs", "-q", "-r", "host.example", "-i", values["good"])
	publish.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+values["store"], "IPFS_API=", "IPFS_PATH=")
	line, err := publish.Output()
	if err != nil {
		t.Fatal(err)
	}
	values["root"] = strings.SplitN(string(line), "/", 3)[1]
	hostilePeers(t, values["store"])
	return values
}
