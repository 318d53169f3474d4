package trust

import "errors"

// ErrUntrusted is matched by errors about what is not signed as a policy requires. Which
// of the ways it is, those below say, which match it, too.
var ErrUntrusted = errors.New("not signed as required")

// What is wrong with signatures.
var (
	// ErrUnsigned: there is none, and nothing that is signed leads there.
	ErrUnsigned error = kind("not signed")
	// ErrOtherKey: there is one, by none of the keys.
	ErrOtherKey error = kind("signed by another key")
	// ErrOtherImage: there is one by a key, and it signs another image than that at which
	// it stands.
	ErrOtherImage error = kind("the signature is that of another image")
	// ErrAttestationOnly: what one of the keys has signed about it says something else than
	// that the image is to be trusted, such as where it is from or what is in it.
	ErrAttestationOnly error = kind("attested, and not signed")
	// ErrSignature: there is one that makes no sense.
	ErrSignature error = kind("malformed signature")
)

// ErrKey is matched by errors about public keys that cannot be used.
var ErrKey = errors.New("public key")

// kind is one of the ways of not being signed as required.
type kind string

func (k kind) Error() string        { return string(k) }
func (k kind) Is(target error) bool { return target == ErrUntrusted }
