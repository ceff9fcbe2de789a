package packetpath

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// processors are at most callers of those that this process may run on. Who sends
// and who receives has one of its own: where the scheduler happens to put them
// decides more about a rate than any ruleset.
func processors() ([]int, error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return nil, fmt.Errorf("find the processors: %w", err)
	}
	var out []int
	for cpu := 0; len(out) < min(callers, may.Count()); cpu++ {
		if may.IsSet(cpu) {
			out = append(out, cpu)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("find the processors: none")
	}
	return out, nil
}

// onProcessor runs f with the calling thread, which its goroutine must have
// locked, on one processor.
func onProcessor(cpu int, f func() error) error {
	var home, there unix.CPUSet
	there.Set(cpu)
	if err := unix.SchedGetaffinity(0, &home); err != nil {
		return fmt.Errorf("find the thread's processors: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &there); err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, err)
	}
	err := f()
	if back := unix.SchedSetaffinity(0, &home); back != nil {
		return errors.Join(err, fmt.Errorf("leave processor %d: %w", cpu, back))
	}
	return err
}

// onThread runs f with a thread on one processor.
func onThread(cpu int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return onProcessor(cpu, f)
}
