//go:build !linux

package main

// lazily needs network namespaces.
func (b *bench) lazily() error {
	b.say("lazy is left out: it needs Linux")
	return nil
}
