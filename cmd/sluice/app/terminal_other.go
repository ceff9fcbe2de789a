//go:build !windows

package app

import "io"

// showsColours: every terminal does.
func showsColours(io.Writer) bool { return true }
