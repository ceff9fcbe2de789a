package interop

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
)

const chart = "../helm/sluice"

// template is what "helm template sluice CHART -n releases --set SET" renders.
func template(t *testing.T, from string, set ...string) (map[string]any, error) {
	t.Helper()
	c, err := loader.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, values); err != nil {
			t.Fatal(err)
		}
	}
	release := common.ReleaseOptions{Name: "sluice", Namespace: "releases", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var docs []string
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if strings.HasSuffix(name, ".yaml") {
			docs = append(docs, rendered[name])
		}
	}
	return objects(t, []byte(strings.Join(docs, "\n---\n"))), nil
}

func mustTemplate(t *testing.T, set ...string) map[string]any {
	t.Helper()
	out, err := template(t, chart, set...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestChartRendersTheManifest(t *testing.T) {
	want := objects(t, file(t, "../sluice.yaml"))
	if diff := cmp.Diff(want, mustTemplate(t)); diff != "" {
		t.Errorf("(-sluice.yaml +chart):\n%s", diff)
	}
	// To remove it, the agents are replaced by what cleanup.yaml has.
	maps.DeleteFunc(want, func(_ string, o any) bool { _, ok := o.(*appsv1.DaemonSet); return ok })
	maps.Copy(want, objects(t, file(t, "../cleanup.yaml")))
	if diff := cmp.Diff(want, mustTemplate(t, "cleanup=true")); diff != "" {
		t.Errorf("(-cleanup.yaml +chart):\n%s", diff)
	}
}

func TestChartHasNothingToLint(t *testing.T) {
	for _, set := range [][]string{nil, {"cleanup=true"}, {"nri.enabled=true", "metrics.podMonitor.enabled=true"}} {
		values := map[string]any{}
		for _, s := range set {
			if err := strvals.ParseInto(s, values); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range lint.RunAll(chart, values, "releases").Messages {
			// An icon is for catalogues.
			if m.Severity > support.InfoSev || !strings.Contains(m.Error(), "icon is recommended") {
				t.Errorf("%v: %s", set, m.Error())
			}
		}
	}
}

// Each value changes what it says, and nothing else.
func TestChartValues(t *testing.T) {
	for name, tt := range map[string]struct {
		set    []string
		change func(*appsv1.DaemonSet)
	}{
		"image": {
			[]string{"image.repository=registry.example/sluice", "image.tag=v1", "image.pullPolicy=Always", "imagePullSecrets={one,two}"},
			func(ds *appsv1.DaemonSet) {
				container(ds).Image, container(ds).ImagePullPolicy = "registry.example/sluice:v1", corev1.PullAlways
				pod(ds).ImagePullSecrets = []corev1.LocalObjectReference{{Name: "one"}, {Name: "two"}}
			},
		},
		"digest": {
			[]string{"image.tag=v1", "image.digest=sha256:" + strings.Repeat("0a", 32)},
			func(ds *appsv1.DaemonSet) {
				container(ds).Image = "sluice.invalid/sluice@sha256:" + strings.Repeat("0a", 32)
			},
		},
		"flags": {
			[]string{
				"uplinks={eth0,ens*}", "otherInterfaces={docker0,br-*}", "nodeDNS={169.254.20.10,fd00::10}",
				"guardOptOut=true", "reject=true",
			},
			func(ds *appsv1.DaemonSet) {
				args(ds, "--uplinks=eth0,ens*", "--other-interfaces=docker0,br-*", "--node-dns=169.254.20.10,fd00::10", "--guard-opt-out", "--reject")
			},
		},
		"further flags": {
			[]string{"extraArgs={--log-group=5,--ct-mark-mask=0xff000000}"},
			func(ds *appsv1.DaemonSet) { args(ds, "--log-group=5", "--ct-mark-mask=0xff000000") },
		},
		"denials": {
			[]string{"denials.mode=stdout", "denials.perPod=true"},
			func(ds *appsv1.DaemonSet) { args(ds, "--denials=stdout", "--denials-per-pod") },
		},
		"metrics elsewhere": {
			[]string{"metrics.port=9999"},
			func(ds *appsv1.DaemonSet) {
				container(ds).Args[2], container(ds).Ports[0].ContainerPort = "--metrics-address=:9999", 9999
			},
		},
		"no metrics": {
			[]string{"metrics.enabled=false"},
			func(ds *appsv1.DaemonSet) { container(ds).Args[2], container(ds).Ports = "--metrics-address=", nil },
		},
		"API server": {
			[]string{"apiServer.host=192.0.2.10", "apiServer.port=6443"},
			func(ds *appsv1.DaemonSet) {
				container(ds).Env = append(container(ds).Env, corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: "192.0.2.10"}, corev1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: "6443"})
			},
		},
		"NRI": {[]string{"nri.enabled=true", "nri.socketDirectory=/run/k3s/nri"}, func(ds *appsv1.DaemonSet) { mountNRI(ds, "/run/k3s/nri") }},
		"where": {
			[]string{"nodeSelector.pool=blue", "tolerations=null", "maxUnavailable=1", "podLabels.team=net", "podAnnotations.a=b", "goMemLimit="},
			func(ds *appsv1.DaemonSet) {
				pod(ds).NodeSelector["pool"] = "blue"
				pod(ds).Tolerations = nil
				ds.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.Type, ds.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.IntVal, ds.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.StrVal = 0, 1, ""
				ds.Spec.Template.Labels["team"] = "net"
				ds.Spec.Template.Annotations = map[string]string{"a": "b"}
				container(ds).Env = container(ds).Env[:1]
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := agent(t, objects(t, file(t, "../sluice.yaml")))
			tt.change(want)
			if diff := cmp.Diff(want, agent(t, mustTemplate(t, tt.set...))); diff != "" {
				t.Errorf("(-want +chart):\n%s", diff)
			}
		})
	}
}

func pod(ds *appsv1.DaemonSet) *corev1.PodSpec         { return &ds.Spec.Template.Spec }
func container(ds *appsv1.DaemonSet) *corev1.Container { return &pod(ds).Containers[0] }
func args(ds *appsv1.DaemonSet, more ...string) {
	container(ds).Args = append(container(ds).Args, more...)
}
func mountNRI(ds *appsv1.DaemonSet, on string) {
	args(ds, "--nri-socket=/var/run/nri/nri.sock")
	kind := corev1.HostPathDirectoryOrCreate
	container(ds).VolumeMounts = []corev1.VolumeMount{{Name: "nri", MountPath: "/var/run/nri", ReadOnly: true}}
	pod(ds).Volumes = []corev1.Volume{{Name: "nri", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: on, Type: &kind}}}}
}

func TestChartGoesWhereItIsTold(t *testing.T) {
	for _, tt := range []struct{ set, namespace string }{
		{"namespace.name=elsewhere", "elsewhere"},
		{"namespace.create=false", "releases"},
	} {
		got := mustTemplate(t, tt.set, "metrics.podMonitor.enabled=true")
		for name := range got {
			kind, rest, _ := strings.Cut(name, " ")
			namespace, _, _ := strings.Cut(rest, "/")
			switch kind {
			case "ClusterRole", "ClusterRoleBinding":
			case "Namespace":
				if tt.set == "namespace.create=false" || rest != "/"+tt.namespace {
					t.Errorf("%s: there is %s", tt.set, name)
				}
			default:
				if namespace != tt.namespace {
					t.Errorf("%s: there is %s", tt.set, name)
				}
			}
		}
		for _, doc := range got {
			if s, ok := subjects(doc); ok && (len(s) != 1 || s[0].Namespace != tt.namespace) {
				t.Errorf("%s: subjects %v", tt.set, s)
			}
		}
	}
}

func TestChartRefuses(t *testing.T) {
	for _, set := range []string{
		"resouces.limits.cpu=1", "image.tg=v1", "metrics.port=99999", "extraArgs={reject}", "uplinks={a b}", "image.digest=latest",
		"denials.mode=stderr", "nri.socketDirectory=run", "namespace.name=", "metrics.podMonitor.interval=soon",
	} {
		if _, err := template(t, chart, set); err == nil {
			t.Errorf("it takes %s", set)
		}
	}
	if _, err := template(t, chart, "metrics.enabled=false", "metrics.podMonitor.enabled=true"); err == nil || !strings.Contains(err.Error(), "nothing to monitor") {
		t.Errorf("a PodMonitor without metrics: %v", err)
	}
}
