package app

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/compiler"
)

// What becomes of denials.
const (
	denialsKept   = "keep"
	denialsStdout = "stdout"
	denialsOff    = "off"
)

func (o *AgentOptions) addDenialFlags(flags *pflag.FlagSet) {
	flags.Uint16Var(&o.config.Compiler.LogGroup, "log-group", compiler.DefaultLogGroup, "NFLOG group that denied packets go to; the agent reads it, and only one program can")
	flags.StringVar(&o.denials, "denials", denialsKept, `what becomes of denied flows: keep (the last ones are kept for whoever asks, and counted), stdout (besides, each is a line of JSON on stdout, up to 200 a second), or off (nothing is read, so that another program can read --log-group)`)
	flags.BoolVar(&o.events, "denial-events", false, "make Events of some denials, on the Pod whose policies denied: one in ten minutes about the same, and twelve a minute of a node; the agent needs create of events for it")
	flags.BoolVar(&o.config.Denials.PerPod, "denials-per-pod", false, "count denials by Pod, too: up to 2000 series of each node")
}

// completeDenials keeps names of Pods and their addresses out of the node's logs unless
// they are wanted there: logs are shipped and kept by others than those who may read flows.
func (o *AgentOptions) completeDenials() {
	o.config.Denials.Off = o.denials == denialsOff
	if o.denials == denialsStdout {
		o.config.Denials.Lines = o.Out
	}
}

func (o *AgentOptions) validateDenials() error {
	if o.denials == denialsOff && o.config.Denials.PerPod {
		return errors.New("--denials-per-pod: with --denials=off there are none to count")
	}
	switch {
	case o.events && o.manifests != "":
		return errors.New("--denial-events: a directory of manifests has no API server to make them at")
	case o.events && o.denials == denialsOff:
		return errors.New("--denial-events: with --denials=off there are none to make events of")
	}
	return oneOf("denials", o.denials, denialsKept, denialsStdout, denialsOff)
}
