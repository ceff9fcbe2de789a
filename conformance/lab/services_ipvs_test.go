//go:build kernels

package lab

import "testing"

// What IPVS gives to whom, and no engine at work: what fails here is the lab's.
func TestServicesOfIPVS(t *testing.T) {
	for _, topology := range Everyday {
		t.Run(topology.String(), func(t *testing.T) { checkServices(t, topology, NATIPVS) })
	}
}
