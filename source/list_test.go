package source

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func TestReadList(t *testing.T) {
	got, err := ReadList(strings.NewReader("\ufeff# images\n\n  docker://host/app:1 \ndocker-daemon:app\r\n"))
	if want := []string{"docker://host/app:1", "docker-daemon:app"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ReadList(strings.NewReader("# none\n")); !errors.Is(err, ErrSpelling) {
		t.Errorf("an empty list: %v", err)
	}
	if _, err := ReadList(strings.NewReader("app.tar\n" + strings.Repeat("x", 70_000))); !errors.Is(err, ErrSpelling) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line without an end: %v", err)
	}
}

// Sources are told of in the order of the list, however long each takes, and one that
// fails keeps no other from being published.
func TestEach(t *testing.T) {
	var told []int
	var at, most atomic.Int64
	last := make(chan struct{})
	failed := errors.New("failed")
	Each(t.Context(), 20, 3, func(_ context.Context, i int) error {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer at.Add(-1)
		switch i {
		case 0:
			<-last
		case 19:
			close(last)
		case 7:
			return failed
		}
		return nil
	}, func(i int, err error) {
		told = append(told, i)
		if (i == 7) != errors.Is(err, failed) {
			t.Errorf("%d: %v", i, err)
		}
	})
	if len(told) != 20 || !slices.IsSorted(told) || most.Load() > 3 {
		t.Errorf("told of %v, %d at once", told, most.Load())
	}
}
