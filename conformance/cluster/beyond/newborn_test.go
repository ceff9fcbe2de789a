package beyond

import (
	"encoding/json"
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// nursery is a prober that the first node keeps, for Pods that are still to come
// and whose first instruction is to be its.
type nursery struct {
	w      *world
	volume corev1.Volume
	prober string
}

func (w *world) nursery() nursery {
	w.t.Helper()
	const host = "/host"
	n := nursery{w: w, volume: corev1.Volume{Name: "uploads", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/tmp"}}}}
	seed := w.pods(spec{name: "seed", change: func(p *corev1.Pod) {
		p.Spec.Volumes[0] = n.volume
		c := &p.Spec.Containers[0]
		c.VolumeMounts = []corev1.VolumeMount{{Name: "uploads", MountPath: host}, {Name: "uploads", MountPath: uploads, SubPath: w.ns}}
	}})["seed"]
	w.t.Cleanup(func() {
		if r := seed.do(probe.Request{Op: probe.Remove, Path: path.Join(host, w.ns)}); r.Outcome != probe.OK {
			w.t.Errorf("remove the prober from the node: %s", r.Detail)
		}
	})
	n.prober = path.Join(uploads, path.Base(seed.path))
	return n
}

// container does one thing, for that many seconds at most.
func (n nursery) container(name string, r probe.Request, seconds int) corev1.Container {
	n.w.t.Helper()
	request, err := json.Marshal(r)
	n.w.must("write a request", err)
	return corev1.Container{
		Name: name, Image: *image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{n.prober, string(request), strconv.Itoa(seconds)},
		VolumeMounts: []corev1.VolumeMount{{Name: "uploads", MountPath: uploads, SubPath: n.w.ns}},
	}
}
