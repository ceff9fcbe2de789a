package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// supervisor starts services in their order and starts them again when they
// end. It is process 1, so it also reaps the orphans of all others; that is why
// it waits for any child and not for each of its own.
type supervisor struct {
	log io.Writer

	mu      sync.Mutex
	running map[int]chan struct{} // closed when the process has ended
}

func (s *supervisor) run(services []Service) error {
	reaping := false
	for _, service := range services {
		ended, err := s.start(service)
		if err != nil {
			return err
		}
		if !reaping {
			reaping = true
			go s.reap()
		}
		if service.Once {
			<-ended
			continue
		}
		go s.keep(service, ended)
		if service.Socket != "" {
			if err := waitForSocket(service.Socket); err != nil {
				return err
			}
		}
	}
	s.say("all services are started")
	select {}
}

// start runs a service's program, with its output in /var/log.
func (s *supervisor) start(service Service) (ended chan struct{}, err error) {
	log, err := os.OpenFile("/var/log/"+service.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	path, err := exec.LookPath(service.Args[0])
	if err != nil {
		return nil, err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer nothing.Close()

	// The lock keeps reap from seeing a process end before we know it.
	s.mu.Lock()
	defer s.mu.Unlock()
	process, err := os.StartProcess(path, service.Args, &os.ProcAttr{Dir: "/", Files: []*os.File{nothing, log, log}})
	if err != nil {
		return nil, err
	}
	ended = make(chan struct{})
	s.running[process.Pid] = ended
	return ended, process.Release()
}

func (s *supervisor) keep(service Service, ended chan struct{}) {
	for {
		<-ended
		s.say("%s ended; it is started again", service.Name)
		time.Sleep(time.Second)
		var err error
		if ended, err = s.start(service); err != nil {
			s.say("start %s: %v", service.Name, err)
			return
		}
	}
}

func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // no children at the moment
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		ended := s.running[pid]
		delete(s.running, pid)
		s.mu.Unlock()
		if ended != nil {
			if status.ExitStatus() != 0 {
				s.say("process %d: exit status %d, signal %d", pid, status.ExitStatus(), status.Signal())
			}
			close(ended)
		}
	}
}

func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.log, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func waitForSocket(path string) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not appear", path)
}
