package trust_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
	"github.com/image2ipfs/image2ipfs/trust"
)

// Whoever publishes chooses how many signatures there are: the processor's time that is
// spent on one layout is bounded, and spent on nobody who has gone.
func TestChecksAreBounded(t *testing.T) {
	by, other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256), testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	examined := func(ctx context.Context, layers int) error {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		image, fine := l.Image("amd64", []byte("layer")), l.Image("arm64", []byte("fine"))
		envelope := testsign.Envelope(other, testsign.PredicateSign, image.Digest)
		for one := envelope["signatures"].([]any); len(envelope["signatures"].([]any)) < 64; {
			envelope["signatures"] = append(envelope["signatures"].([]any), one...)
		}
		bundle := testsign.Bundle(l, map[string]any{"dsseEnvelope": envelope}, image)
		var m ocispec.Manifest
		if err := json.Unmarshal(l.Content(bundle.Digest), &m); err != nil {
			t.Fatal(err)
		}
		many := slices.Repeat(m.Layers, layers)
		opened, err := layout.Open(t.Context(), blocks, l.Publish(image, testsign.Holding(l, m.Subject, testsign.TypeBundle, many...), fine, testsign.Tagged(l, by, fine.Digest, fine.Digest)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := trust.New(by.Public)
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Examine(ctx, opened)
		if err != nil {
			return err
		}
		if err := v.Check(fine.Digest); err != nil {
			t.Errorf("another image of the layout, which is signed: %v", err)
		}
		return v.Check(image.Digest)
	}
	if err := examined(t.Context(), 100); !errors.Is(err, trust.ErrOtherKey) {
		t.Errorf("6,400 checks: %v", err)
	}
	if err := examined(t.Context(), 129); !errors.Is(err, oci.ErrLimit) || !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), "8192") {
		t.Errorf("8,256 checks: %v", err)
	}
}

// A layout may have many images, and a policy many keys, of which the last has signed.
func TestManyImagesAndKeys(t *testing.T) {
	keys := make([]*trust.Key, 41)
	for i := range keys {
		keys[i] = testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256).Public
	}
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	var top, images []ocispec.Descriptor
	for i := range 250 {
		image := l.Image("amd64", []byte(fmt.Sprint(i)))
		images = append(images, image)
		top = append(top, image, testsign.Tagged(l, by, image.Digest, image.Digest))
	}
	opened, err := layout.Open(t.Context(), blocks, l.Publish(top...))
	if err != nil {
		t.Fatal(err)
	}
	p, err := trust.New(append(slices.Clone(keys[1:]), by.Public)...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Examine(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if err := v.Check(image.Digest); err != nil {
			t.Fatal(err)
		}
	}
}

// Where a layout has more signatures than are tried, those of what is asked for are tried
// first, and what the others sign counts for nothing.
func TestAskedForIsTriedFirst(t *testing.T) {
	by, other := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256), testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	var top, images []ocispec.Descriptor
	for i := range 3 {
		image := l.Image("amd64", []byte(fmt.Sprint(i)))
		images = append(images, image)
		envelope := testsign.Envelope(other, testsign.PredicateSign, image.Digest)
		for one := envelope["signatures"].([]any); len(envelope["signatures"].([]any)) < 64; {
			envelope["signatures"] = append(envelope["signatures"].([]any), one...)
		}
		bundle := testsign.Bundle(l, map[string]any{"dsseEnvelope": envelope}, image)
		var m ocispec.Manifest
		if err := json.Unmarshal(l.Content(bundle.Digest), &m); err != nil {
			t.Fatal(err)
		}
		top = append(top, image, testsign.Holding(l, m.Subject, testsign.TypeBundle, slices.Repeat(m.Layers, 127)...), testsign.Tagged(l, by, image.Digest, image.Digest))
	}
	opened, err := layout.Open(t.Context(), blocks, l.Publish(top...))
	if err != nil {
		t.Fatal(err)
	}
	p, err := trust.New(by.Public)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	v, err := p.Examine(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if err := v.Check(image.Digest); err != nil {
			refused++
			if !errors.Is(err, trust.ErrUntrusted) || !strings.Contains(err.Error(), "16384") {
				t.Error(err)
			}
			if v, err := p.Examine(t.Context(), opened, image.Digest); err != nil || v.Check(image.Digest) != nil {
				t.Errorf("what is asked for: %v, %v", err, v.Check(image.Digest))
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d of %d images are refused", refused, len(images))
	}
}

// What is asked for again and again stays, however many other names are asked for.
func TestKeptForgetsWhatNobodyAsksFor(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(l.Image("amd64", []byte("layer")))
	var kept trust.Kept
	if before := kept.Before("steady", nil); len(before) > 0 {
		t.Errorf("before anything was noted: %v", before)
	}
	for i := range 10_000 {
		kept.Note(fmt.Sprint(i), root)
		if i%1000 == 0 {
			kept.Note("steady", root)
		}
	}
	if before := kept.Before("steady", nil); len(before) != 1 {
		t.Errorf("a name that is asked for is forgotten: %v", before)
	}
	if before := kept.Before("0", nil); len(before) != 0 {
		t.Errorf("nothing is forgotten: %v", before)
	}
}
