package pull

import (
	"errors"
	"path/filepath"
	"testing"
)

// Who pulls on a machine without an engine is told so by name, whichever was asked for.
func TestNoEngine(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "none.sock")
	_, docker := DialDocker(t.Context(), "unix://"+nobody)
	_, containerd := DialContainerd(t.Context(), ContainerdOptions{Address: nobody})
	_, any := Find(t.Context(), "unix://"+nobody, ContainerdOptions{Address: nobody})
	for what, err := range map[string]error{"docker": docker, "containerd": containerd, "any": any} {
		if !errors.Is(err, ErrNoEngine) {
			t.Errorf("%s: %v, want ErrNoEngine", what, err)
		}
	}
}
