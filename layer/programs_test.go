package layer

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// One wrong byte would break pulls: every decompressor that engines may use
// gives the tar and nothing else.
func TestProgramsDecompressLayersWithIndex(t *testing.T) {
	if testing.Short() {
		t.Skip(slowUnderRace)
	}
	in := many(t, 20_000)
	blob, _ := lazily(t, in)
	frames, _, _ := inChunks(t, in)
	for name, command := range map[string][]string{
		"gunzip": {"gunzip", "-c"}, "pigz": {"pigz", "-dc"}, "unpigz": {"unpigz", "-c"}, "igzip": {"igzip", "-dc"}, "libdeflate": {"libdeflate-gunzip", "-c"},
		"busybox": {"busybox", "gunzip", "-c"}, "perl": {"perl", "-MIO::Uncompress::Gunzip=gunzip,$GunzipError", "-e", `gunzip("-" => "-", MultiStream => 1) or die $GunzipError`},
		"python": {"python3", "-c", "import gzip,shutil,sys; shutil.copyfileobj(gzip.open(sys.stdin.buffer), sys.stdout.buffer)"},
	} {
		t.Run(name, func(t *testing.T) { wantDecompressed(t, command, blob, in) })
	}
	t.Run("zstd", func(t *testing.T) { wantDecompressed(t, []string{"zstd", "-dc"}, frames, in) })
}

// wantDecompressed runs a program; CI has all of them (hack/engines.sh).
func wantDecompressed(t *testing.T, command []string, blob, want []byte) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(blob), os.Stderr
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}
