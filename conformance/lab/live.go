package lab

import "golang.org/x/sys/unix"

// Stream is a flow that lives.
type Stream struct{}

func (s *servers) streamOf(b []byte) *Stream      { return nil }
func (s *Stream) adopt(conn int)                  {}
func (s *Stream) push(fd int, from unix.Sockaddr) {}
