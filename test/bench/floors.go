package main

import "path/filepath"

// hashes is the time that it takes to read and hash.
func (b *bench) hashes(prefix, archive string) func(*table) error {
	return b.floor(prefix+"openssl sha256", "openssl", "sha256", archive)
}

// copies is the time that it takes to write durably.
func (b *bench) copies(prefix, archive string) func(*table) error {
	return func(t *table) error {
		dir, err := b.fresh("copy")
		if err != nil {
			return err
		}
		to := filepath.Join(dir, "copy")
		if err := b.floor(prefix+"copy with fsync", "dd", "if="+archive, "of="+to, "bs=1M", "conv=fsync", "status=none")(t); err != nil {
			return err
		}
		_, err = b.fresh("copy")
		return err
	}
}

// compressors are other ways to compress, once.
func (b *bench) compressors(archive string) []contender {
	var all []contender
	for _, program := range []string{"gzip", "pigz"} {
		name := "docker archive: " + program + " -6"
		all = append(all, contender{name, b.floor(name, "sh", "-c", `exec "$0" -6 <"$1" >/dev/null`, program, archive), 1})
	}
	return all
}

// floor runs a program if it is there: the first of args, or behind sh -c the first argument.
func (b *bench) floor(name string, args ...string) func(*table) error {
	program := args[0]
	if program == "sh" {
		program = args[3]
	}
	return func(t *table) error {
		if !have(program) {
			return nil
		}
		used, err := b.command(args...).run()
		if err == nil {
			t.add(name, used, "")
		}
		return err
	}
}
