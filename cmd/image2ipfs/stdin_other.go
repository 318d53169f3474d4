//go:build !unix

package main

// pollStdin has nothing to do where pipes cannot be polled.
func pollStdin() {}
