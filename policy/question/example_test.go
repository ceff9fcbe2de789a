package question_test

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i, ports: [{name: postgres, containerPort: 5432}]}]}
status: {podIP: 10.0.0.2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]
`

// Manifests become a set, and the set a world that is asked.
func Example() {
	var loader manifest.Loader
	loader.Add("shop.yaml", []byte(shop))
	set, problems := loader.Finish()
	for _, p := range problems {
		fmt.Println(p)
	}
	world := question.New(set)

	q, err := question.Parse("frontend", "db:postgres", "shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := world.Ask(q)
	if err != nil {
		fmt.Println(err)
		return
	}
	world.Explain(&answer)
	first := answer.First()
	fmt.Println(answer.Result(), answer.Name())
	fmt.Println(question.Reason(first.Verdict.Flow, first.Verdict.Ingress))
	fmt.Println("nearest:", first.Verdict.Ingress.Nearest)
	// Output:
	// denied shop/frontend → shop/db:5432/TCP
	// policy shop/db isolates shop/db for ingress and none of its rules allows the flow (implicit default deny)
	// nearest: shop/db ingress[0]
}

// One call makes the index of a set of manifests, for those who have addresses and
// need nothing found.
func ExampleWorld_index() {
	var loader manifest.Loader
	loader.Add("shop.yaml", []byte(shop))
	set, _ := loader.Finish()
	index := set.Index(policy.Options{})

	for from := range set.Pods {
		for to := range set.Pods {
			src, _ := policy.PodFromAPI(set.Pods[from])
			dst, _ := policy.PodFromAPI(set.Pods[to])
			a, b, _ := index.EndsOfPods(src, dst)
			v := index.Evaluate(policy.Flow{Src: a, Dst: b, Protocol: policy.TCP, Port: 5432})
			fmt.Println(src.Name, dst.Name, v.Allowed)
		}
	}
	// Output:
	// frontend frontend true
	// frontend db false
	// db frontend true
	// db db true
}

// A question about a cluster says what else must be read of it.
func ExampleMissing() {
	var loader manifest.Loader
	loader.Add("shop.yaml", []byte(shop))
	set, _ := loader.Finish()
	world := question.NewLive(set)
	q, _ := question.Parse("frontend", "svc/db:5432", "shop")

	for {
		answer, err := world.Ask(q)
		var missing *question.Missing
		if !errors.As(err, &missing) {
			fmt.Println(answer.Result(), answer.Through, err)
			return
		}
		for _, need := range missing.Needs {
			fmt.Println("needs", need.Kind)
			// A client lists them; what it is refused is supplied as an error.
			world.Supply(need, objects(need), nil)
		}
	}
	// Output:
	// needs Service
	// needs EndpointSlice
	// denied Service shop/db, port 5432/TCP, ClusterIP 10.96.0.1, leads to port 5432 <nil>
}

// objects stands for a client of a cluster.
func objects(need question.Need) (set manifest.Set) {
	switch need.Kind {
	case question.KindService:
		set.Services = []*corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 5432}}},
		}}
	case question.KindEndpointSlice:
		port := int32(5432)
		set.EndpointSlices = []*discoveryv1.EndpointSlice{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			Ports:      []discoveryv1.EndpointPort{{Port: &port}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.2"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "db"}}},
		}}
	}
	return set
}
