package app

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/nri"
)

func (o *AgentOptions) addNRIFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.nriSocket, "nri-socket", "", `socket of the container runtime's Node Resource Interface, usually `+nri.DefaultSocket+`: the runtime then waits with a Pod's containers until the Pod is enforced, for a second at most, so that its first packets are not lost; "" is none. In a container mount its directory, not the socket`)
	allowEmpty(flags.Lookup("nri-socket"))
}

// maxSocketPath is what the kernel's sockaddr_un has room for.
const maxSocketPath = 107

func (o *AgentOptions) validateNRI() error {
	s := o.nriSocket
	if s == "" {
		return nil
	}
	if !filepath.IsAbs(s) || len(s) > maxSocketPath || strings.ContainsRune(s, 0) || strings.HasSuffix(s, "/") {
		return fmt.Errorf("--nri-socket: %q is no path of a socket: want an absolute one of at most %d bytes, such as %s", s, maxSocketPath, nri.DefaultSocket)
	}
	return nil
}

// runtimeListener is the agent.
type runtimeListener interface {
	nri.Sink
	AskRuntime(silent func() (message, mend string, silent bool))
}

// hearRuntime has the container runtime tell the agent of sandboxes, if it is
// asked to, until the context ends or stop is called, which returns when nothing
// is told any more.
func (o *AgentOptions) hearRuntime(ctx context.Context, agent runtimeListener, reg prometheus.Registerer) (stop func(), err error) {
	if o.nriSocket == "" {
		return func() {}, nil
	}
	plugin, err := nri.New(o.nriSocket, agent, reg, clock.RealClock{})
	if err != nil {
		return nil, err
	}
	agent.AskRuntime(plugin.Silent)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		plugin.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}
