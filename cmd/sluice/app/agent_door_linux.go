package app

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/door"
)

// longestSocket is what the kernel takes as the path of a socket, less the name under which
// it is made first.
const longestSocket = 80

// localDoor is where the agent answers if nobody says otherwise.
const localDoor = "127.0.0.1:9470"

func (o *AgentOptions) addDoorFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.config.HealthAddress, "health-address", "", `address for /healthz and /readyz without names, in plain text; "" serves none (default: --metrics-address if that is a loopback address or none, otherwise `+localDoor+`)`)
	flags.StringVar(&o.config.MetricsAddress, "metrics-address", localDoor, `address for /metrics and /readyz with names; "" serves none`)
	allowEmpty(flags.Lookup("health-address"))
	allowEmpty(flags.Lookup("metrics-address"))
	flags.StringVar(&o.config.Socket, "socket", "", "path of a socket to make that serves the same to root on the node, such as /run/sluice.sock (default: none)")
	flags.StringVar(&o.config.TLSCert, "tls-cert", "", "file with the certificate for --metrics-address, read again when it changes (default: one that the agent makes)")
	flags.StringVar(&o.config.TLSKey, "tls-key", "", "file with the key of --tls-cert")
}

// completeDoor has one address serve both where only the node can reach it.
func (o *AgentOptions) completeDoor(flags *pflag.FlagSet) {
	if flags.Changed("health-address") {
		return
	}
	o.config.HealthAddress = o.config.MetricsAddress
	if m := o.config.MetricsAddress; m != "" && !door.Loopback(m) {
		o.config.HealthAddress = localDoor
	}
}

func (o *AgentOptions) validateDoor() error {
	m := o.config.MetricsAddress
	if err := errors.Join(validateListen("metrics-address", m), validateListen("health-address", o.config.HealthAddress)); err != nil {
		return err
	}
	if s := o.config.Socket; s != "" && (!filepath.IsAbs(s) || len(s) > longestSocket) {
		return fmt.Errorf("--socket: %q is no absolute path of at most %d bytes", s, longestSocket)
	}
	o.config.Version = versionName()
	if (o.config.TLSCert == "") != (o.config.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key: give both or none")
	}
	if m == "" || door.Loopback(m) {
		return nil
	}
	var errs []error
	if o.manifests != "" {
		errs = append(errs, fmt.Errorf("--metrics-address: %s is no loopback address, and with --manifests there is no API server to say who may read there", m))
	}
	if m == o.config.HealthAddress {
		errs = append(errs, fmt.Errorf("--metrics-address: %s is --health-address, too: give each its own", m))
	}
	return errors.Join(errs...)
}

// openDoor has the API server say who may read, if others than the node's own
// can ask at all.
func (o *AgentOptions) openDoor(config *rest.Config) error {
	if m := o.config.MetricsAddress; m == "" || door.Loopback(m) {
		return nil
	}
	client, err := kubernetes.NewForConfig(door.ReviewClientConfig(config))
	if err != nil {
		return fmt.Errorf("make a client to review tokens with: %w", err)
	}
	o.config.Reviewer = door.NewReviews(client, clock.RealClock{})
	return nil
}
