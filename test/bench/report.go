package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report collects what was measured.
type report struct {
	sections []string
	verdicts []verdict
	tables   []*table
}

func newReport() *report { return &report{} }

func (r *report) verdict(v verdict) { r.verdicts = append(r.verdicts, v) }

// section adds a table of another kind.
func (r *report) section(title string, lines ...string) {
	r.sections = append(r.sections, "### "+title+"\n\n"+strings.Join(lines, "\n")+"\n")
}

func (r *report) markdown(b *bench) string {
	out := &strings.Builder{}
	fmt.Fprintf(out, "## Machine and versions\n\n%s\n\n", machine(b))
	fmt.Fprint(out, "## Against the targets\n\n| what | target | measured | | |\n|---|---|---|---|---|\n")
	for _, v := range r.verdicts {
		fmt.Fprintln(out, v)
	}
	fmt.Fprint(out, "\n## Figures\n")
	for _, t := range r.tables {
		if len(t.names) > 0 {
			fmt.Fprintf(out, "\n%s", t.markdown())
		}
	}
	for _, s := range r.sections {
		fmt.Fprintf(out, "\n%s", s)
	}
	return out.String()
}

// machine describes where this was measured.
func machine(b *bench) string {
	var lines []string
	line := func(what, value string) {
		if value != "" {
			lines = append(lines, "- "+what+": "+value)
		}
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(info), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	memory, _ := os.ReadFile("/proc/meminfo")
	total, _, _ := strings.Cut(strings.TrimPrefix(string(memory), "MemTotal:"), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	line("machine", fmt.Sprintf("%d x %s, %s memory, %s", runtime.NumCPU(), model, strings.TrimSpace(total), output("findmnt", "-no", "FSTYPE", "-T", b.dir)))
	line("system", output("uname", "-sr")+", "+output("sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"))
	line("load when the run ended", strings.TrimSpace(string(load)))
	line("image2ipfs", output("git", "describe", "--always", "--dirty")+", "+runtime.Version())
	line("others", output("dpkg-query", "-W", "-f", "${Package} ${Version}; ", "skopeo", "docker-registry", "nginx-light", "containerd", "openssl", "gzip", "pigz"))
	if b.kubo != "" {
		line("Kubo", output(b.kubo, "version"))
	}
	line("date", time.Now().UTC().Format("2006-01-02"))
	line("rounds", fmt.Sprint(b.rounds))
	return strings.Join(lines, "\n")
}

func output(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).Output()
	return strings.TrimSpace(string(out))
}
