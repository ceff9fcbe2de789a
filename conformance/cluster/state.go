package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Cluster is what is written down of a cluster that is up, or was meant to be.
type Cluster struct {
	Options  Options   `json:"options"`
	Programs string    `json:"programs"`
	Machines []Machine `json:"machines"`
	// Complete says that the cluster came up: its nodes were ready once.
	Complete bool `json:"complete"`

	dir string
}

func (c *Cluster) file() string       { return filepath.Join(c.dir, "cluster.json") }
func (c *Cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// machineDir is what backs a machine's own directories.
func (c *Cluster) machineDir(name string) string { return filepath.Join(c.dir, name) }

// program is the path of one of the cluster's programs.
func (c *Cluster) program(name string) string { return filepath.Join(c.Programs, name) }

// cgroup is the parent of the nodes' cgroups. Its name depends on the state's
// directory, so that two clusters never share it.
func (c *Cluster) cgroup() string {
	return fmt.Sprintf("sluice-cluster-%x", sha256.Sum256([]byte(c.dir)))[:len("sluice-cluster-")+6]
}

func (c *Cluster) save() error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	next := c.file() + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.file())
}

// stateDir is where a cluster lives, unless told otherwise.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sluice-cluster"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "sluice-cluster"), nil
}

// load reads what is known of the cluster; without one, it returns nil.
func load() (*Cluster, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir}
	data, err := os.ReadFile(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.file(), err)
	}
	return c, nil
}

// running is load for commands that make no sense without a cluster.
func running() (*Cluster, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	if c == nil || !c.Complete {
		return nil, errors.New("there is no cluster: make cluster-up")
	}
	for _, m := range c.Machines {
		if !m.alive() {
			return nil, fmt.Errorf("%s is not running: make cluster-up starts the cluster anew", m.Name)
		}
	}
	return c, nil
}

// lock keeps two commands from bringing the same cluster up and down at once.
// The lock's file stays when the cluster goes: removing it would let a third
// command lock a file of the same name.
func lock() (unlock func(), err error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	return lockFile(dir + ".lock")
}

func lockFile(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
