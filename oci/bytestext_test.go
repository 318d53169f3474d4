package oci

import "testing"

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 8_388_608: "8.4 MB", 1_500_000_000: "1.5 GB"} {
		if got := BytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
