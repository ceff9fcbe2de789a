package manifest

import (
	"fmt"
	"testing"
)

func BenchmarkLoad(b *testing.B) {
	for _, form := range []struct {
		name string
		make func(int) []byte
	}{
		{"documents", podDocuments},
		{"YAMLList", podList},
		{"JSONList", podJSON},
	} {
		for _, pods := range []int{100, 1_000, 10_000, 100_000} {
			data := form.make(pods * len(podText(0, "", "")))
			b.Run(fmt.Sprintf("%s/%d", form.name, pods), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					var l Loader
					l.Add("f.yaml", data)
					if set, _ := l.Finish(); len(set.Pods) == 0 {
						b.Fatal("no Pods")
					}
				}
			})
		}
	}
}
