package probe

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// first does all acts of a request at the same time, as early as a process can.
func first(r Request) Response {
	result := Response{Outcome: Finished, At: time.Now(), Acts: make([]Response, len(r.Acts))}
	var all sync.WaitGroup
	for i, act := range r.Acts {
		all.Go(func() {
			began := time.Now()
			switch act.Op {
			case Ask:
				result.Acts[i] = question(act, began)
			case Connect:
				result.Acts[i] = handshake(act, began)
			case Burst:
				result.Acts[i] = burst(act, began)
			default:
				result.Acts[i] = done(errors.New("no first act: " + string(act.Op)))
			}
		})
	}
	all.Wait()
	return result
}

// question is asked as a resolver does: once, and again when there has been no
// answer for a long while. Tries says how often.
func question(r Request, began time.Time) Response {
	conn, err := net.DialTimeout("udp", r.Address, r.Timeout)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	result := Response{Outcome: Timeout}
	for time.Since(began) < r.Timeout {
		result.Tries++
		if err := conn.SetDeadline(time.Now().Add(r.Interval)); err != nil {
			return done(err)
		}
		seen, err := exchange(conn, answers, "question")
		if err == nil {
			result.Outcome, result.Seen, result.Until = OK, seen, time.Since(began)
			return result
		}
		result.Detail = err.Error()
		if outcome(err) == Refused {
			// Who does not listen yet is asked again, too, but not at once.
			time.Sleep(10 * time.Millisecond)
		}
	}
	return result
}

// handshake makes a TCP connection. Tries counts the packets that it took.
func handshake(r Request, began time.Time) Response {
	conn, err := net.DialTimeout("tcp", r.Address, r.Timeout)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	result := Response{Outcome: OK, Until: time.Since(began)}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return done(err)
	}
	var info *unix.TCPInfo
	var problem error
	err = raw.Control(func(fd uintptr) { info, problem = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(err, problem); err != nil {
		return done(err)
	}
	result.Tries = 1 + int(info.Total_retrans)
	return result
}

// burst sends numbered datagrams, whether or not there are answers, and counts those that
// were answered. It waits from the last one on: on a busy machine it takes a while to send
// them, and an answer that nobody waits for is not a packet that was lost.
func burst(r Request, began time.Time) Response {
	conn, err := net.DialTimeout("udp", r.Address, r.Timeout)
	if err != nil {
		return done(err)
	}
	defer conn.Close()
	result := Response{Outcome: Finished, Tries: r.Size}
	go func() {
		defer func() { _ = conn.SetReadDeadline(time.Now().Add(r.Timeout)) }() // or it is closed by now
		for i := range r.Size {
			// What is refused or cannot be sent is not answered: that says it.
			_, _ = fmt.Fprintf(conn, "burst %d\n", i)
			time.Sleep(r.Interval)
		}
	}()
	answered := make([]bool, r.Size)
	buffer := make([]byte, 1<<10)
	for result.Answers < r.Size {
		n, err := conn.Read(buffer)
		if outcome(err) == Timeout {
			break
		}
		fields := strings.Fields(string(buffer[:n]))
		if err != nil || len(fields) != 3 {
			continue
		}
		if i, err := strconv.Atoi(fields[2]); err == nil && i >= 0 && i < r.Size && !answered[i] {
			answered[i] = true
			result.Answers++
			if result.Answers == 1 {
				result.Until = time.Since(began)
			}
		}
	}
	var lost []string
	for i, ok := range answered {
		if !ok {
			lost = append(lost, strconv.Itoa(i))
		}
	}
	if len(lost) > 0 {
		result.Detail = "no answer to " + strings.Join(lost, " ")
	}
	return result
}

// heard counts what came to the ports of this process, answered or not: a packet
// that passes is one, even if the answer does not.
var heard = struct {
	sync.Mutex
	count map[string]int
}{count: map[string]int{}}

func countHeard(network string, addr net.Addr) {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return
	}
	heard.Lock()
	defer heard.Unlock()
	heard.count[network+port]++
}

// howMany says how many datagrams or connections came to a port so far.
func howMany(r Request) Response {
	_, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return done(err)
	}
	heard.Lock()
	defer heard.Unlock()
	return Response{Outcome: OK, Tries: heard.count[r.Network+port]}
}
