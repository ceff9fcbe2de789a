package packetpath

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// deniedFlows is how many ports the stranger sends to, from the first on.
const deniedFlows, firstDenied = 1000, 40000

// denied sends small packets from a Pod that no policy allows, to one port after the
// other. They count when they were sent, which is when the node has dropped them: veths
// hand packets on at once.
func (s *site) denied() (*traffic, error) {
	stranger := s.Pod(podName(localPod(2)))
	client, err := open(stranger, unix.SOCK_DGRAM, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	t := &traffic{
		count: func() (int, error) { return int(count.Load()), nil },
		metrics: func(r reading) map[Metric]float64 {
			return map[Metric]float64{DeniedRate: r.perSecond(), DeniedCPU: r.cpuEach()}
		},
		unblock: func() {},
		free:    func() { closeAll([]int{client}) },
	}
	t.generate(s.processors[0], func() error {
		data := make([]byte, payload)
		to := sockaddr(s.server.Pod.Addrs[0], 0)
		for n := 0; !t.ended.Load(); n++ {
			to.Port = firstDenied + n%deniedFlows
			// No answer is awaited, and none comes: where the engine rejects, the kernel
			// tells the socket of it here.
			if err := unix.Sendto(client, data, 0, to); err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("denied packets: %w", err)
			}
			count.Add(1)
		}
		return nil
	})
	return t, nil
}
