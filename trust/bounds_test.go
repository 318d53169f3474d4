package trust_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
		image := l.Image("amd64", []byte("layer"))
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
		opened, err := layout.Open(t.Context(), blocks, l.Publish(image, testsign.Holding(l, m.Subject, testsign.TypeBundle, many...)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := trust.New(by.Public)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Examine(ctx, opened)
		return err
	}
	if err := examined(t.Context(), 100); err != nil {
		t.Errorf("6,400 checks: %v", err)
	}
	if err := examined(t.Context(), 129); !errors.Is(err, oci.ErrLimit) {
		t.Errorf("8,256 checks: %v", err)
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
