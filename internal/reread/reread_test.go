package reread

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Who changes a file needs no restart, and who breaks it loses nothing.
func TestValue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "value")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	errEmpty := errors.New("it is empty")
	reads := 0
	read := func() (string, error) {
		reads++
		data, err := os.ReadFile(file)
		if err == nil && len(data) == 0 {
			err = errEmpty
		}
		return string(data), err
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		write("")
		if _, err := Open(logger, "the test", read, file); !errors.Is(err, errEmpty) {
			t.Fatalf("got %v, want %v", err, errEmpty)
		}
		write("one")
		v, err := Open(logger, "the test", read, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ text, want, log string }{
			{"one", "one", ""}, {"second", "second", "read again"}, {"", "second", "it is empty"}, {"third one", "third one", "read again"},
		} {
			if step.text != v.value {
				write(step.text)
			}
			before := reads
			if v.Get(); reads != before {
				t.Error("the file is looked at for each use")
			}
			time.Sleep(Pause)
			log.Reset()
			if got := v.Get(); got != step.want || !strings.Contains(log.String(), step.log) || (step.log == "") != (log.Len() == 0) {
				t.Errorf("after %q: %q, log %q", step.text, got, log.String())
			}
		}
	})
}
