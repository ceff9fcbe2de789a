package analysis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
)

// MeasureCommand is the word for a process that ends in [Measure].
const MeasureCommand = "measure"

// took is what a command took.
type took struct {
	Seconds, MiB float64
}

// Measure runs a command and writes what it took; the command's own output is dropped. It is for a process of its own: Linux counts a program's memory from
// what the process had that started it, and one that has measured for an hour has much.
func Measure(ctx context.Context, args []string, out, errOut io.Writer) (code int) {
	t, err := measureCommand(ctx, args)
	if err == nil {
		err = json.NewEncoder(out).Encode(t)
	}
	if err != nil {
		_, _ = fmt.Fprintln(errOut, err)
		return 1
	}
	return 0
}

func measureCommand(ctx context.Context, args []string) (took, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	if err := cmd.Run(); err != nil {
		return took{}, fmt.Errorf("%w: %.300s", err, trouble.String())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || runtime.GOOS != "linux" {
		return took{}, fmt.Errorf("what a process takes is known on Linux alone, not on %s", runtime.GOOS)
	}
	// Linux counts KiB.
	return took{(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), float64(usage.Maxrss) / 1024}, nil
}

// command runs Sluice once, and says how many seconds of CPU it took, of all cores, and how
// many MiB it had in memory at most.
func (m *measurement) command(ctx context.Context, args []string) (seconds, mib float64, err error) {
	line := append(append(append([]string{}, m.Measure...), m.Sluice...), args...)
	out, err := exec.CommandContext(ctx, line[0], line[1:]...).Output()
	if err != nil {
		trouble := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			trouble = string(exit.Stderr)
		}
		return 0, 0, fmt.Errorf("%w: %.300s", err, trouble)
	}
	var t took
	if err := json.Unmarshal(out, &t); err != nil {
		return 0, 0, fmt.Errorf("read what a command took: %w", err)
	}
	return t.Seconds, t.MiB, nil
}
