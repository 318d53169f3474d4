package trust

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// Media types of the layers that hold signatures.
const (
	typeSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeBundle        = "application/vnd.dev.sigstore.bundle" // and a version behind it
	typeEnvelope      = "application/vnd.dsse.envelope.v1+json"
)

const (
	// annotationSignature is where cosign 2 puts the signature of a layer.
	annotationSignature = "dev.cosignproject.cosign/signature"
	// simpleSigning is what the payload of a signature of an image calls itself.
	simpleSigning = "cosign container image signature"
	// signPredicate is the type of the statement by which cosign 3 signs an image, in
	// place of saying something about it.
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
	typeStatement = "application/vnd.in-toto+json"
)

// Formats of signatures.
const (
	FormatSimpleSigning = "simple signing"  // cosign 1 and 2
	FormatBundle        = "Sigstore bundle" // cosign 3
	FormatEnvelope      = "DSSE envelope"   // attestations of cosign 1 and 2
)

// statement is what one layer says and who signed it.
type statement struct {
	format     string
	signs      bool            // that an image is to be trusted, in place of something about it
	subjects   []digest.Digest // the images; none where it is the signature of their bytes
	message    []byte          // that was signed; nil where it is the bytes of the image
	signatures [][]byte
}

// holdsStatement tells whether a layer is of a type that holds signatures.
func holdsStatement(layer ocispec.Descriptor) bool {
	return layer.MediaType == typeSimpleSigning || layer.MediaType == typeEnvelope || strings.HasPrefix(layer.MediaType, typeBundle)
}

// parseStatement reads a layer whose digest has been checked. Errors say what makes no
// sense in it.
func parseStatement(layer ocispec.Descriptor, data []byte) (statement, error) {
	switch {
	case layer.MediaType == typeSimpleSigning:
		return parseSimpleSigning(layer, data)
	case layer.MediaType == typeEnvelope:
		s := statement{format: FormatEnvelope}
		var e dsse.Envelope
		if err := jsontext.Unmarshal(data, &e); err != nil {
			return s, fmt.Errorf("the DSSE envelope: %w", err)
		}
		err := s.envelope(&e)
		s.signs = false // cosign looks for signatures elsewhere
		return s, err
	}
	return parseBundle(data)
}

// parseSimpleSigning reads the payload of a signature of cosign 1 or 2
// (containers-signature(5), "critical").
func parseSimpleSigning(layer ocispec.Descriptor, data []byte) (statement, error) {
	s := statement{format: FormatSimpleSigning, message: data}
	var payload struct {
		Critical struct {
			Image struct {
				Digest digest.Digest `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	if err := jsontext.Unmarshal(data, &payload); err != nil {
		return s, fmt.Errorf("the payload: %w", err)
	}
	if payload.Critical.Type != simpleSigning {
		return s, fmt.Errorf("the payload calls itself %q, expected %q", payload.Critical.Type, simpleSigning)
	}
	if err := payload.Critical.Image.Digest.Validate(); err != nil {
		return s, fmt.Errorf("the payload's docker-manifest-digest is %q: %w", payload.Critical.Image.Digest, err)
	}
	s.signs, s.subjects = true, []digest.Digest{payload.Critical.Image.Digest}
	signature, err := base64.StdEncoding.DecodeString(layer.Annotations[annotationSignature])
	if err != nil || len(signature) == 0 {
		return s, fmt.Errorf("the annotation %s is no signature in base64", annotationSignature)
	}
	s.signatures = [][]byte{signature}
	return s, nil
}

// parseBundle reads a Sigstore bundle, of which certificates, time stamps and entries of
// logs are not needed: who signed is known by the key.
func parseBundle(data []byte) (statement, error) {
	s := statement{format: FormatBundle}
	var bundle struct {
		MediaType string         `json:"mediaType"`
		Envelope  *dsse.Envelope `json:"dsseEnvelope"`
		Message   *struct {
			Digest struct {
				Algorithm string `json:"algorithm"`
				Digest    []byte `json:"digest"`
			} `json:"messageDigest"`
			Signature []byte `json:"signature"`
		} `json:"messageSignature"`
	}
	if err := jsontext.Unmarshal(data, &bundle); err != nil {
		return s, fmt.Errorf("the bundle: %w", err)
	}
	switch {
	case !strings.HasPrefix(bundle.MediaType, typeBundle):
		return s, fmt.Errorf("the bundle calls itself %q, expected %s…", bundle.MediaType, typeBundle)
	case (bundle.Envelope == nil) == (bundle.Message == nil):
		return s, fmt.Errorf("the bundle has neither or both of dsseEnvelope and messageSignature, expected one")
	case bundle.Envelope != nil:
		return s, s.envelope(bundle.Envelope)
	case len(bundle.Message.Signature) == 0:
		return s, fmt.Errorf("the bundle's messageSignature is empty")
	}
	s.signs, s.signatures = true, [][]byte{bundle.Message.Signature}
	if d := bundle.Message.Digest; d.Algorithm == "SHA2_256" && len(d.Digest) > 0 { // a hint: the signature decides
		s.subjects = []digest.Digest{digest.NewDigestFromBytes(digest.SHA256, d.Digest)}
	}
	return s, nil
}

// envelope reads a DSSE envelope with an in-toto statement (attestation framework,
// "Statement").
func (s *statement) envelope(e *dsse.Envelope) error {
	body, err := e.DecodeB64Payload()
	if err != nil {
		return fmt.Errorf("the DSSE envelope's payload: %w", err)
	}
	if e.PayloadType != typeStatement {
		return fmt.Errorf("the DSSE envelope is of type %q, expected %s", e.PayloadType, typeStatement)
	}
	var said struct {
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		PredicateType string `json:"predicateType"`
	}
	if err := jsontext.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("the in-toto statement: %w", err)
	}
	for _, subject := range said.Subject {
		for algorithm, hex := range subject.Digest {
			if d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex); d.Validate() == nil {
				s.subjects = append(s.subjects, d)
			}
		}
	}
	if len(s.subjects) == 0 {
		return fmt.Errorf("the in-toto statement names no subject by a digest that is known")
	}
	for _, one := range e.Signatures {
		signature, err := base64.StdEncoding.DecodeString(one.Sig)
		if err != nil || len(signature) == 0 {
			return fmt.Errorf("a signature of the DSSE envelope is none in base64")
		}
		s.signatures = append(s.signatures, signature)
	}
	if len(s.signatures) == 0 {
		return fmt.Errorf("the DSSE envelope has no signature")
	}
	s.signs, s.message = said.PredicateType == signPredicate, dsse.PAE(e.PayloadType, body)
	return nil
}

// signer is the first of the keys by which the statement is signed; content is that of the
// image, for a signature of its bytes. It is nil for none.
func (s *statement) signer(keys []*Key, content []byte, check func() error) (*Key, error) {
	message := s.message
	if message == nil {
		message = content
	}
	if len(bytes.TrimSpace(message)) == 0 {
		return nil, nil
	}
	for _, key := range keys {
		for _, signature := range s.signatures {
			if err := check(); err != nil {
				return nil, err
			}
			if key.verifies(message, signature) {
				return key, nil
			}
		}
	}
	return nil, nil
}
