package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// membersOf are numbers for where members begin, smallest first; those of
// layer/segment.go are the second.
var membersOf = []memberSize{{16, 32}, {24, 64}, {64, 128}, {128, 256}, {512, 512}}

// memberSize is, in KiB, the size from which a file gets members of its own, and
// that from which a member of smaller ones may end.
type memberSize struct{ minFile, minPool int }

func (s memberSize) String() string { return fmt.Sprintf("%d / %d KiB", s.minFile, s.minPool) }

// members measures how the size of members trades what a pull takes against what
// an update stores, with programs that differ in those two numbers.
func (b *bench) members() error {
	if os.Getuid() != 0 {
		b.say("members is left out: it needs root")
		return nil
	}
	if b.missing("members", "containerd", "ctr", "pigz") {
		return nil
	}
	archive, err := b.debian()
	if err != nil {
		return err
	}
	v1, v2, _, err := b.debianRoots()
	if err != nil {
		return err
	}
	ours := b.binary
	defer func() { b.binary = ours }()
	t := b.out.table("A whole pull by containerd, by the size of members")
	var contenders []contender
	var most int64
	lines := []string{"| files from / pools from | " + strings.TrimPrefix(deltaHead, "| "), "|---" + deltaRule}
	for _, size := range membersOf {
		if b.binary, err = b.variant(size); err != nil {
			return err
		}
		line, _, err := b.delta("root1", "root2", []source{root(v1)}, []source{root(v2)})
		if err != nil {
			return fmt.Errorf("%s: %w", size, err)
		}
		lines = append(lines, "| "+size.String()+" "+line)
		served, err := b.serveMembers(size, archive)
		if err != nil {
			return err
		}
		defer served.server.stop()
		most = max(most, served.size)
		contenders = append(contenders, served.contenders(b)...)
	}
	b.out.section("What updates store, by the size of members", lines...)
	return b.turns(t, b.rounds, most, contenders)
}

// membersServed is an image of such members, to be pulled.
type membersServed struct {
	name, image, note string
	size              int64
	server            *daemon
}

func (b *bench) serveMembers(size memberSize, archive string) (membersServed, error) {
	store, err := b.lasting("store")
	if err != nil {
		return membersServed{}, err
	}
	p, _, err := b.publish(store, archive)
	if err != nil {
		return membersServed{}, err
	}
	addr, server, err := b.serve(store)
	if err != nil {
		return membersServed{}, err
	}
	note := fmt.Sprintf("%.1f MB in %d blocks", float64(p.Size)/1e6, p.NewBlocks)
	return membersServed{size.String(), addr + "/" + p.Root.Ciq + "/bench/debian:1", note, p.Size, server}, nil
}

// contenders pull it without and with unpigz.
func (m membersServed) contenders(b *bench) (both []contender) {
	for _, unpigz := range []bool{false, true} {
		name := m.name
		if unpigz {
			name += ", unpigz"
		}
		both = append(both, contender{name: name, run: func(t *table) error {
			used, err := b.pull(m.image, m.server, unpigz)
			if err == nil {
				t.add(name, used, m.note)
			}
			return err
		}})
	}
	return both
}

// variant builds image2ipfs with other numbers, which are constants since they
// decide digests: the compiler is given another layer/segment.go.
func (b *bench) variant(size memberSize) (binary string, err error) {
	const file = "layer/segment.go"
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for name, kib := range map[string]int{"minFile": size.minFile, "minPool": size.minPool} {
		number := regexp.MustCompile(`(?m)^(\s*` + name + `\s*= )\d+ << 10$`)
		if !number.Match(text) {
			return "", fmt.Errorf("%s: no line that sets %s in KiB", file, name)
		}
		text = number.ReplaceAll(text, fmt.Appendf(nil, "${1}%d << 10", kib))
	}
	dir, err := b.lasting("variant")
	if err != nil {
		return "", err
	}
	from, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{from: filepath.Join(dir, "segment.go")}})
	if err != nil {
		return "", err
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "segment.go"), text, 0o644), os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644))
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "image2ipfs")
	return binary, b.build(binary, "-overlay", filepath.Join(dir, "overlay.json"))
}
