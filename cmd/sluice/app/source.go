package app

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
)

// sourceFlags say where the objects are that a question is about: in manifests,
// or else in a cluster.
type sourceFlags struct {
	manifests manifestFlags
	kube      kubeFlags
	notices   noticeFlags
	namespace string
}

// endsHelp is what explain and verify take for ends.
const endsHelp = `Ends are written as

  namespace/pod     or pod, in the namespace of -n
  type/name         or type/namespace/name, with kubectl's types: svc, deploy, sts,
                    ds, job, cronjob, rs, rc, pod, and node/name
  10.9.8.7          an address of either family, as the Pods and clients have it
  10.0.0.0/8        all addresses of a CIDR; internet is all that are no Pod's and no
                    node's, nor from their ranges
  ns/name           every Pod of a namespace; any is every Pod and the internet
  app=web           every Pod with labels, ns/name:app=web of one namespace
  ingress/name      what comes in by an Ingress, and so gateway/, httproute/, grpcroute/,
                    tlsroute/, tcproute/: from its controller's Pods to what is behind it

A workload may be named without its type, and needs no Pod that runs. What hangs on an
address that is not known yet is answered as depending, with on what.`

func (s *sourceFlags) add(flags *pflag.FlagSet) {
	s.manifests.add(flags)
	s.kube.add(flags)
	s.kube.without = "no manifests and no cluster: give manifests with -f PATH, or a kubeconfig with --kubeconfig, $KUBECONFIG or ~/.kube/config"
	s.notices.add(flags)
	flags.StringVarP(&s.namespace, "namespace", "n", "", "namespace of ends, and of manifests, that name none (default: the context's; with -f \"default\")")
	allowEmpty(flags.Lookup("namespace"))
}

// completeNamespace fills in the namespace that no flag gives.
func (s *sourceFlags) completeNamespace() (err error) {
	switch {
	case s.namespace != "":
	case s.fromFiles():
		s.namespace = "default"
	default:
		s.namespace, err = s.kube.namespace()
	}
	return err
}

func (s *sourceFlags) fromFiles() bool { return s.manifests.given() }

func (s *sourceFlags) validate() error {
	if flag := s.kube.changed(); flag != "" && s.fromFiles() {
		return fmt.Errorf("-f is instead of a cluster: leave out --%s", flag)
	}
	if s.manifests.recursive && !s.fromFiles() {
		return errors.New("-R reads the directories of -f: give -f DIRECTORY")
	}
	return errors.Join(validateNamespace(s.namespace), s.manifests.validate())
}

// validateNamespace refuses what no namespace is called.
func validateNamespace(name string) error {
	if why := validation.IsDNS1123Label(name); name != "" && len(why) > 0 {
		return fmt.Errorf("--namespace: %q is no name of a namespace: %s", name, why[0])
	}
	return nil
}

// reader chooses where to read. The namespaces are those that the question
// names.
func (s *sourceFlags) reader(in io.Reader, namespaces []string) (clusterReader, error) {
	if s.fromFiles() {
		return fileReader{manifestFlags: s.manifests, in: in, namespace: s.namespace}, nil
	}
	client, server, err := s.kube.client()
	if err != nil {
		return nil, err
	}
	return liveReader{client: client, server: server, namespaces: namespaces}, nil
}

// objectReader chooses where to read all that says who may reach whom. The namespaces are
// those to be content with where no more may be read.
func (s *sourceFlags) objectReader(in io.Reader, namespaces []string) (objectReader, error) {
	if s.fromFiles() {
		return fileReader{manifestFlags: s.manifests, in: in, namespace: s.namespace}, nil
	}
	client, server, err := s.kube.client()
	if err != nil {
		return nil, err
	}
	r := liveReader{client: client, server: server, namespaces: namespaces}
	if len(namespaces) == 0 {
		r.instead = "give -n NAMESPACE to be answered about one that you may read"
	}
	return r, nil
}
