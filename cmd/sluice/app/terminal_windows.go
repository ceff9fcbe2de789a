package app

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// showsColours makes a console of Windows understand the codes of colours, which
// it prints as they are if nobody asks.
func showsColours(terminal io.Writer) bool {
	f, ok := terminal.(*os.File)
	if !ok {
		return false
	}
	var mode uint32
	if err := windows.GetConsoleMode(windows.Handle(f.Fd()), &mode); err != nil {
		return false
	}
	return windows.SetConsoleMode(windows.Handle(f.Fd()), mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
