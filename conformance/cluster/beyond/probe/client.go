package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

func outcome(err error) Outcome {
	var timeout net.Error
	switch {
	case err == nil:
		return OK
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Problem
}

func dial(r Request) Response {
	deadline := time.Now().Add(r.Timeout)
	conn, err := net.DialTimeout(r.Network, r.Address, r.Timeout)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	if r.Op == Connect {
		return Response{Outcome: OK}
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return done(err)
	}
	seen, err := exchange(conn, bufio.NewReader(conn), "hello")
	answer := done(err)
	answer.Seen = seen
	return answer
}

// exchange sends a line and wants it back, after the client's own address as
// the server sees it.
func exchange(conn net.Conn, answers *bufio.Reader, payload string) (seen string, err error) {
	if _, err := fmt.Fprintln(conn, payload); err != nil {
		return "", err
	}
	for {
		line, err := answers.ReadString('\n')
		if err != nil {
			return "", err
		}
		seen, echo, _ := strings.Cut(strings.TrimSpace(line), " ")
		if echo == payload {
			host, _, err := net.SplitHostPort(seen)
			return host, err
		}
		// An answer over UDP may come when it is no longer waited for.
		if _, packets := conn.(*net.UDPConn); !packets {
			return "", fmt.Errorf("the answer to %q is %q", payload, line)
		}
	}
}

func repeat(r Request, stop <-chan struct{}) Response {
	result := Response{Outcome: Finished}
	began := time.Now()
	last := began
	each := r
	each.Op = Dial
	for {
		answer := dial(each)
		result.Tries++
		if answer.Outcome == OK {
			result.Answers++
			result.gap(&last)
			result.Until = last.Sub(began)
		} else {
			result.Detail = fmt.Sprintf("%s %s", time.Now().Format(time.TimeOnly), answer.Detail)
		}
		select {
		case <-stop:
			return result
		case <-time.After(r.Interval):
		}
	}
}

func (r *Response) gap(last *time.Time) {
	now := time.Now()
	r.Longest = max(r.Longest, now.Sub(*last))
	*last = now
}

// dialPatiently tries for as long as the request says. That nobody answers for the next
// hop's hardware address ends an attempt after three seconds: the interface of a Pod
// that the agent does not know yet may take longer than that.
func dialPatiently(r Request) (net.Conn, error) {
	dialer := net.Dialer{Deadline: time.Now().Add(r.Timeout)}
	for {
		conn, err := dialer.Dial(r.Network, r.Address)
		if !errors.Is(err, syscall.EHOSTUNREACH) {
			return conn, err
		}
		if time.Until(dialer.Deadline) <= 0 {
			return nil, fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hold breaks when TCP does, or when there is no answer for the timeout. UDP
// packets that are lost are only counted, until then.
func hold(r Request, stop <-chan struct{}) Response {
	conn, err := dialPatiently(r)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	wait := r.Timeout
	if r.Network == "udp" {
		wait = min(wait, 200*time.Millisecond)
	}
	result := Response{Outcome: Finished}
	answers := bufio.NewReader(conn)
	last := time.Now()
	for {
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return done(err)
		}
		result.Tries++
		_, err := exchange(conn, answers, fmt.Sprint("echo ", result.Tries))
		switch {
		case err == nil:
			result.Answers++
			result.gap(&last)
		case r.Network == "udp" && time.Since(last) < r.Timeout:
			result.Detail = err.Error()
		default:
			result.Outcome, result.Detail = Broken, fmt.Sprintf("%s %v", time.Now().Format(time.TimeOnly), err)
			return result
		}
		select {
		case <-stop:
			return result
		case <-time.After(r.Interval):
		}
	}
}

// upload sends packets as large as the path allows. A sender that is never told
// that they are too large gets no answer.
func upload(r Request) Response {
	conn, err := net.DialTimeout("tcp", r.Address, r.Timeout)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(r.Timeout)); err != nil {
		return done(err)
	}
	payload := strings.Repeat("x", r.Size)
	sent := make(chan error, 1)
	answers := bufio.NewReaderSize(conn, 1<<16)
	var line strings.Builder
	go func() {
		_, err := fmt.Fprintln(conn, payload)
		sent <- err
	}()
	for {
		part, more, err := answers.ReadLine()
		line.Write(part)
		if err != nil && !errors.Is(err, io.EOF) {
			return done(err)
		}
		if !more {
			break
		}
	}
	if err := <-sent; err != nil {
		return done(err)
	}
	if !strings.HasSuffix(line.String(), payload) {
		return done(fmt.Errorf("%d bytes came back of %d", line.Len(), len(payload)))
	}
	mtu, err := pathMTU(conn)
	if err != nil {
		return done(err)
	}
	return Response{Outcome: OK, MTU: mtu}
}
