package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Memory is what the program has resident, in bytes.
func (p *Process) Memory() (int64, error) { return p.status("VmRSS:") }

// PeakMemory is the most that the program has had resident, in bytes.
func (p *Process) PeakMemory() (int64, error) { return p.status("VmHWM:") }

// status reads a size of /proc/PID/status, which only Linux has.
func (p *Process) status(field string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, field)
}

const userHz = 100 // ticks a second in /proc, on every Linux there is

// CPU is the processor time that the program has used so far; 0 where /proc
// does not tell.
func (p *Process) CPU() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ") // behind the name, which may hold anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64) // 0 if it is no number
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / userHz
}
