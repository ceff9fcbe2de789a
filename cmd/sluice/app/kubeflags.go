package app

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeFlags reach a cluster with kubectl's flags, environment and files.
type kubeFlags struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
	// flags are those given here, to know which were used.
	flags *pflag.FlagSet
	// without is what the command says where there is no cluster to ask, if it knows of
	// something else to ask.
	without string
}

// giveKubeconfig is how a cluster is named.
const giveKubeconfig = "give a kubeconfig with --kubeconfig, $KUBECONFIG or ~/.kube/config"

// rarely are flags of kubectl that work and are not listed.
var rarely = []string{
	"as-uid", "certificate-authority", "client-certificate", "client-key", "disable-compression",
	"insecure-skip-tls-verify", "proxy-url", "server", "tls-server-name", "token",
}

func (k *kubeFlags) add(flags *pflag.FlagSet) {
	k.flags = pflag.NewFlagSet("cluster", pflag.ContinueOnError)
	k.flags.StringVar(&k.kubeconfig, "kubeconfig", "", "file to reach the cluster with (default: $KUBECONFIG or ~/.kube/config)")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ContextOverrideFlags.Namespace.LongName = "" // ours is for manifests, too
	names.ClusterOverrideFlags.APIVersion.LongName = ""
	names.AuthOverrideFlags.Username.LongName = ""
	names.AuthOverrideFlags.Password.LongName = ""
	names.CurrentContext.Description = "context of the kubeconfig"
	names.ContextOverrideFlags.ClusterName.Description = "cluster of the kubeconfig"
	names.ContextOverrideFlags.AuthInfoName.Description = "user of the kubeconfig"
	names.AuthOverrideFlags.Impersonate.Description = "user to ask as"
	names.AuthOverrideFlags.ImpersonateGroups.Description = "group to ask as; may be repeated"
	names.Timeout.Description = "how long one request may take, such as 10s; 0 for as long as it takes"
	clientcmd.BindOverrideFlags(&k.overrides, k.flags, names)
	for _, name := range rarely {
		if f := k.flags.Lookup(name); f != nil {
			f.Hidden = true
		}
	}
	k.flags.VisitAll(allowEmpty)
	flags.AddFlagSet(k.flags)
}

// validate refuses a timeout that no request could meet.
func (k *kubeFlags) validate() error {
	if k.overrides.Timeout == "" {
		return nil
	}
	timeout, err := clientcmd.ParseTimeout(k.overrides.Timeout)
	if err != nil || timeout < 0 {
		return fmt.Errorf("--request-timeout: %q is no time: want one such as 10s, or 0 for as long as it takes", k.overrides.Timeout)
	}
	return nil
}

// changed names a flag that was given, empty if none was.
func (k *kubeFlags) changed() string {
	var name string
	k.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed && name == "" {
			name = f.Name
		}
	})
	return name
}

func (k *kubeFlags) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	rules.WarnIfAllMissing = false
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &k.overrides)
}

// namespace is that of the context.
func (k *kubeFlags) namespace() (string, error) {
	namespace, _, err := k.loader().Namespace()
	if err != nil {
		return "", k.sayWhy(err)
	}
	return namespace, nil
}

// connectWithin bounds the wait for a server that does not answer at all.
const connectWithin = 10 * time.Second

// config is how requests reach the cluster, in JSON.
func (k *kubeFlags) config() (*rest.Config, error) {
	if err := k.validate(); err != nil {
		return nil, err
	}
	config, err := k.loader().ClientConfig()
	if err != nil {
		return nil, k.sayWhy(err)
	}
	if config.Dial == nil && config.Transport == nil {
		config.Dial = (&net.Dialer{Timeout: connectWithin}).DialContext
	}
	config.UserAgent = "sluice/" + versionName()
	// A question is a burst of requests and then none; kubectl allows as much.
	config.QPS, config.Burst = 50, 300
	return config, nil
}

// client makes a client, without asking the cluster anything yet.
func (k *kubeFlags) client() (client kubernetes.Interface, server string, err error) {
	config, err := k.config()
	if err != nil {
		return nil, "", err
	}
	// Protobuf costs the API server and us a fraction of JSON.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, "", fmt.Errorf("make a client for the cluster: %w", err)
	}
	return client, config.Host, nil
}

// sayWhy says of an unusable kubeconfig what can be done about it.
func (k *kubeFlags) sayWhy(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return errors.New(cmp.Or(k.without, "no cluster: "+giveKubeconfig))
	}
	if raw, rawErr := k.loader().RawConfig(); rawErr == nil {
		if name := k.overrides.CurrentContext; name != "" && raw.Contexts[name] == nil {
			return fmt.Errorf("--context: there is no %q in the kubeconfig: it has %s", name, contexts(raw.Contexts))
		}
	}
	return fmt.Errorf("read the kubeconfig: %w", err)
}

func contexts(known map[string]*clientcmdapi.Context) string {
	if len(known) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}
