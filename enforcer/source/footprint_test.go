package source

import (
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/policy"
)

// indexSink hands events to an index at once, as the sync loop does.
type indexSink struct{ index *policy.Index }

func (s indexSink) Deliver(events ...Event) {
	for _, e := range events {
		if e.Kind == PodEvent && !e.Deleted {
			s.index.SetPod(e.Pod)
		}
	}
}

func (indexSink) Synced()              {}
func (indexSink) SyncedInPart()        {}
func (indexSink) Report(string, error) {}

// TestFootprintOfARemotePod guards all that an agent keeps of a Pod of another
// node, in the index and in the source, and what reading one leaves behind.
func TestFootprintOfARemotePod(t *testing.T) {
	const pods, mostBytes, mostAllocations = 20_000, 700, 60
	c := scale.Large(pods)
	c.LocalPods = 0
	index := policy.NewIndex(policy.Options{Node: scale.Node})
	for i := range c.Namespaces {
		index.SetNamespace(c.Namespace(i))
	}
	store := newEventStore(indexSink{index}, PodEvent, func() {})
	pieces := store.bundle()
	d := decoder{kept: keptOfPod, into: &corev1.Pod{}}
	read := func(b []byte) {
		obj, err := d.decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := pieces.add(obj); err != nil {
			t.Fatal(err)
		}
	}

	before := liveMemory()
	for i := range pods {
		read(marshalPod(t, c, i))
	}
	pieces.deliver()
	pieces = store.bundle()
	per := (int(liveMemory().HeapAlloc) - int(before.HeapAlloc)) / pods
	t.Logf("%d bytes a Pod", per)
	if per > mostBytes {
		t.Errorf("a Pod costs %d bytes, more than %d", per, mostBytes)
	}

	again := marshalPod(t, c, 1)
	allocations := testing.AllocsPerRun(1000, func() { read(again) })
	t.Logf("%.0f allocations for an event", allocations)
	if allocations > mostAllocations {
		t.Errorf("a Pod's event takes %.0f allocations, more than %d", allocations, mostAllocations)
	}
	runtime.KeepAlive(index)
	runtime.KeepAlive(store)
}

func liveMemory() runtime.MemStats {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

func marshalPod(t *testing.T, c scale.Cluster, i int) []byte {
	t.Helper()
	b, err := c.PodObject(i).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
