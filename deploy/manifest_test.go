// Package deploy_test holds the manifests to the code that they run, and the
// image to the promise of what it needs.
package deploy_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/enforcer/source"
)

// manifest is what one of the files holds.
type manifest struct {
	namespace *corev1.Namespace
	account   *corev1.ServiceAccount
	role      *rbacv1.ClusterRole
	reader    *rbacv1.ClusterRole
	binding   *rbacv1.ClusterRoleBinding
	daemonSet *appsv1.DaemonSet
	// asking is what it takes to ask what is enforced and denied.
	asking asking
}

type asking struct {
	role    *rbacv1.ClusterRole
	account *corev1.ServiceAccount
	binding *rbacv1.ClusterRoleBinding
	way     *rbacv1.Role
}

// read reads a file strictly: a misspelt field would silently be none.
func read(t testing.TB, file string) manifest {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{
		&corev1.Namespace{}, &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}, &appsv1.DaemonSet{},
		asking{&rbacv1.ClusterRole{}, &corev1.ServiceAccount{}, &rbacv1.ClusterRoleBinding{}, &rbacv1.Role{}},
	}
	objects := map[string]any{
		"v1 Namespace sluice-system": m.namespace, "v1 ServiceAccount sluice": m.account,
		"rbac.authorization.k8s.io/v1 ClusterRole sluice": m.role, "rbac.authorization.k8s.io/v1 ClusterRole sluice-metrics-reader": m.reader,
		"rbac.authorization.k8s.io/v1 ClusterRoleBinding sluice": m.binding,
		"rbac.authorization.k8s.io/v1 ClusterRole sluice-reader": m.asking.role, "v1 ServiceAccount sluice-reader": m.asking.account,
		"rbac.authorization.k8s.io/v1 ClusterRoleBinding sluice-reader": m.asking.binding, "rbac.authorization.k8s.io/v1 Role sluice-reader": m.asking.way,
		"apps/v1 DaemonSet sluice": m.daemonSet, "apps/v1 DaemonSet sluice-cleanup": m.daemonSet,
	}
	for i, doc := range bytes.Split(data, []byte("\n---\n")) {
		var kind struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			t.Fatalf("%s, document %d: %v", file, i, err)
		}
		name := kind.APIVersion + " " + kind.Kind + " " + kind.Name
		object := objects[name]
		if object == nil {
			t.Fatalf("%s, document %d: a second or unexpected %s", file, i, name)
		}
		delete(objects, name)
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			t.Fatalf("%s, %s: %v", file, name, err)
		}
	}
	return m
}

func agentPod(t testing.TB) corev1.PodSpec {
	t.Helper()
	return read(t, "sluice.yaml").daemonSet.Spec.Template.Spec
}

// containers of both manifests, by what they are for.
func containers(t testing.TB) map[string]corev1.Container {
	t.Helper()
	out := map[string]corev1.Container{}
	for _, file := range []string{"sluice.yaml", "cleanup.yaml"} {
		spec := read(t, file).daemonSet.Spec.Template.Spec
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			out[file+" "+c.Name] = c
		}
	}
	if len(out) != 3 {
		t.Fatalf("%d containers", len(out))
	}
	return out
}

func TestContainersGetNothingBeyondOneCapability(t *testing.T) {
	no, yes, root := false, true, int64(0)
	want := &corev1.SecurityContext{
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN"}},
		Privileged:               &no,
		AllowPrivilegeEscalation: &no,
		ReadOnlyRootFilesystem:   &yes,
		RunAsUser:                &root,
		RunAsGroup:               &root,
	}
	for name, c := range containers(t) {
		if diff := cmp.Diff(want, c.SecurityContext); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(c.VolumeMounts)+len(c.VolumeDevices)+len(c.EnvFrom) > 0 || len(c.Command) > 0 {
			t.Errorf("%s has mounts, borrowed environment or a command of its own", name)
		}
	}
}

func TestPodsAreTheNodesAndOutliveItsTroubles(t *testing.T) {
	for _, file := range []string{"sluice.yaml", "cleanup.yaml"} {
		ds := read(t, file).daemonSet
		spec := ds.Spec.Template.Spec
		if diff := cmp.Diff(ds.Spec.Selector.MatchLabels, ds.Spec.Template.Labels); diff != "" {
			t.Errorf("%s: selector and labels differ: %s", file, diff)
		}
		if diff := cmp.Diff([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, spec.Tolerations); diff != "" {
			t.Errorf("%s: tolerations (-want +got):\n%s", file, diff)
		}
		if diff := cmp.Diff(map[string]string{"kubernetes.io/os": "linux"}, spec.NodeSelector); diff != "" {
			t.Errorf("%s: node selector (-want +got):\n%s", file, diff)
		}
		if diff := cmp.Diff(&corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}, spec.SecurityContext); diff != "" {
			t.Errorf("%s: security context (-want +got):\n%s", file, diff)
		}
		switch {
		case !spec.HostNetwork || spec.HostPID || spec.HostIPC || len(spec.Volumes) > 0:
			t.Errorf("%s: of the node it must have the network, and nothing else", file)
		case spec.PriorityClassName != "system-node-critical":
			t.Errorf("%s: priority class %q", file, spec.PriorityClassName)
		case spec.EnableServiceLinks == nil || *spec.EnableServiceLinks:
			t.Errorf("%s: service links", file)
		case spec.DNSPolicy != corev1.DNSDefault:
			t.Errorf("%s: DNS policy %q depends on the cluster's", file, spec.DNSPolicy)
		case spec.TerminationGracePeriodSeconds == nil || *spec.TerminationGracePeriodSeconds > 5:
			t.Errorf("%s: a long termination", file)
		case ds.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || ds.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable == nil:
			t.Errorf("%s: update strategy %+v", file, ds.Spec.UpdateStrategy)
		}
	}
}

func TestNamespaceAdmitsThePods(t *testing.T) {
	m, cleanup := read(t, "sluice.yaml"), read(t, "cleanup.yaml")
	for _, mode := range []string{"enforce", "audit", "warn"} {
		if got := m.namespace.Labels["pod-security.kubernetes.io/"+mode]; got != "privileged" {
			t.Errorf("PodSecurity %s: %q", mode, got)
		}
	}
	for what, ns := range map[string]string{
		"account": m.account.Namespace, "agent": m.daemonSet.Namespace, "cleanup": cleanup.daemonSet.Namespace,
	} {
		if ns != m.namespace.Name {
			t.Errorf("%s is in namespace %q", what, ns)
		}
	}
}

// nothing is a sink that keeps nothing.
type nothing struct{}

func (nothing) Deliver(...source.Event) {}
func (nothing) Synced()                 {}
func (nothing) SyncedInPart()           {}
func (nothing) Report(string, error)    {}

func TestArgumentsExist(t *testing.T) {
	for name, c := range containers(t) {
		var errs bytes.Buffer
		// With --help all flags are parsed and nothing is run.
		code := app.Main(t.Context(), append(slices.Clone(c.Args), "--help"), app.IOStreams{Out: &bytes.Buffer{}, ErrOut: &errs})
		if code != 0 {
			t.Errorf("%s: %v: %s", name, c.Args, errs.String())
		}
	}
}

func TestProbesAskWhereTheAgentAnswers(t *testing.T) {
	c := agentPod(t).Containers[0]
	want := []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9471}}
	if diff := cmp.Diff(want, c.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	for _, arg := range []string{"--health-address=127.0.0.1:9470", "--metrics-address=:9471"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("arguments %v lack %s", c.Args, arg)
		}
	}
	// On the host network the kubelet's 127.0.0.1 is the agent's, and nobody
	// else's.
	asks := func(path string, p *corev1.Probe) {
		t.Helper()
		want := &corev1.HTTPGetAction{Path: path, Host: "127.0.0.1", Port: intstr.FromInt32(9470)}
		if p == nil || !cmp.Equal(p.HTTPGet, want) {
			t.Errorf("probe %s: %+v", path, p)
		}
	}
	asks("/healthz", c.LivenessProbe)
	asks("/readyz", c.ReadinessProbe)
	// Not /readyz: an API server that is away must not keep the agent from
	// starting.
	asks("/healthz", c.StartupProbe)
}

func TestNodeNameIsGiven(t *testing.T) {
	got := agentPod(t).Containers[0].Env
	want := corev1.EnvVar{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}
	if !slices.ContainsFunc(got, func(e corev1.EnvVar) bool { return cmp.Equal(e, want) }) {
		t.Errorf("environment %+v", got)
	}
}

func TestMemoryLeavesRoomForNft(t *testing.T) {
	for name, c := range containers(t) {
		requests, limits := c.Resources.Requests, c.Resources.Limits
		if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().Cmp(*requests.Memory()) <= 0 {
			t.Errorf("%s: resources %+v", name, c.Resources)
		}
		if !limits.Cpu().IsZero() {
			t.Errorf("%s: a CPU limit makes policies late when they matter most", name)
		}
	}
	c := agentPod(t).Containers[0]
	for _, e := range c.Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		soft := resource.MustParse(strings.TrimSuffix(e.Value, "B"))
		if room := c.Resources.Limits.Memory().Value() - soft.Value(); room < 128<<20 {
			t.Errorf("GOMEMLIMIT leaves %d bytes", room)
		}
		return
	}
	t.Error("no GOMEMLIMIT")
}

func TestCleanupRunsWhereTheAgentDid(t *testing.T) {
	agent, cleanup := agentPod(t), read(t, "cleanup.yaml").daemonSet.Spec.Template.Spec
	opt := cmpopts.IgnoreFields(corev1.PodSpec{}, "InitContainers", "Containers", "ServiceAccountName", "AutomountServiceAccountToken", "TerminationGracePeriodSeconds")
	if diff := cmp.Diff(agent, cleanup, opt); diff != "" {
		t.Errorf("(-agent +cleanup):\n%s", diff)
	}
}
