package dockerarchive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// counting counts what is read.
type counting struct {
	entries
	reads  int
	onRead func()
}

func (c *counting) JSON(name string) ([]byte, error) {
	c.reads++
	if c.onRead != nil {
		c.onRead()
	}
	return c.entries.JSON(name)
}

// chain is an archive from before Docker 1.10 with a tag for each of n layers, each the
// parent of the next.
func chain(t *testing.T, n int) *counting {
	t.Helper()
	e := entries{}
	tags := map[string]string{}
	for i := range n {
		id := fmt.Sprint(i)
		e[id+"/json"] = []byte("{}")
		if i > 0 {
			e[id+"/json"] = fmt.Appendf(nil, `{"parent":"%d"}`, i-1)
		}
		e[id+"/layer.tar"] = []byte("layer")
		tags[id] = id
	}
	data, err := json.Marshal(map[string]any{"app": tags})
	if err != nil {
		t.Fatal(err)
	}
	e[RepositoriesFile] = data
	return &counting{entries: e}
}

// A tag for each link of a chain makes images whose layers are as many as the square of
// what is in the archive: each link is read once, and there is an end.
func TestTagsAlongAChain(t *testing.T) {
	few := chain(t, 100)
	images, err := Convert(t.Context(), few)
	if err != nil || len(images) != 100 {
		t.Fatalf("100 links: %d images, %v", len(images), err)
	}
	for _, i := range images {
		var c ocispec.Image
		if err := json.Unmarshal(i.Config, &c); err != nil || i.Names[0] != fmt.Sprint("app:", len(i.Layers)-1) || len(c.History) != len(i.Layers) {
			t.Errorf("%v has %d layers and %d entries of history (%v)", i.Names, len(i.Layers), len(c.History), err)
		}
	}
	if few.reads > 110 {
		t.Errorf("100 links were read %d times", few.reads)
	}
	many := chain(t, 3000)
	if images, err = Convert(t.Context(), many); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("3000 links: %d images, %v; want an error that names the limit", len(images), err)
	}
	if many.reads > 3010 {
		t.Errorf("3000 links were read %d times", many.reads)
	}
}

// The limit is that of archives of all eras: an image of many layers takes a few bytes in
// manifest.json.
func TestManyImagesOfTheSameLayers(t *testing.T) {
	layers := strings.Repeat(`"l",`, 10000) + `"l"`
	image := `{"Config":"c","Layers":[` + layers + `]}`
	e := entries{"c": []byte("{}"), "l": []byte("layer"), ManifestFile: []byte("[" + image + strings.Repeat(","+image, 99) + "]")}
	if images, err := Convert(t.Context(), e); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("%d images, %v; want an error that names the limit", len(images), err)
	}
}

// Whoever interrupts waits for no more than what is being made.
func TestConvertEndsWithItsContext(t *testing.T) {
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	many := chain(t, 3000)
	many.onRead = func() {
		if many.reads == 50 {
			cancel(interrupted)
		}
	}
	if images, err := Convert(ctx, many); !errors.Is(err, interrupted) || many.reads > 100 {
		t.Errorf("%d images after %d reads, %v", len(images), many.reads, err)
	}
}
