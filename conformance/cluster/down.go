package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// nextCommand gives a fresh cluster its policy engine.
const nextCommand = "make cluster-sluice     # put Sluice's image on the nodes and apply deploy/sluice.yaml"

func down(out io.Writer) error {
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	c, err := load()
	if err != nil {
		return err
	}
	if c == nil {
		fmt.Fprintln(out, "there is no cluster")
		return nil
	}
	if err := c.remove(); err != nil {
		return err
	}
	fmt.Fprintln(out, "the cluster is gone")
	return nil
}

// remove takes away everything that up made, whatever state it is in. It kills
// processes that up wrote down, and no others.
func (c *Cluster) remove() error {
	var failed []error
	for i := range c.Machines {
		failed = append(failed, c.Machines[i].kill())
	}
	failed = append(failed, removeCgroups(c.cgroup()))
	if err := errors.Join(failed...); err != nil {
		return err
	}
	// Nothing is mounted here: mounts went with the machines. Were it otherwise,
	// removing the directory would empty what is mounted.
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), c.dir+"/") {
		return fmt.Errorf("something is still mounted below %s", c.dir)
	}
	return os.RemoveAll(c.dir)
}
