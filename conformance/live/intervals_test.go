package live

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// someBlocks are so many blocks of addresses that nobody in the labs has, in
// both families, different ones each time. A set of them is searched like a
// large list of a company's networks.
func someBlocks(r *rand.Rand, n int) (peers []networkingv1.NetworkPolicyPeer) {
	for i := range n {
		if i%2 == 0 {
			peers = append(peers, blocks(fmt.Sprintf("172.%d.%d.%d/%d", 16+r.IntN(16), r.IntN(256), r.IntN(256), 26+r.IntN(7)))...)
		} else {
			peers = append(peers, blocks(fmt.Sprintf("fd99:%x:%x::/%d", r.IntN(1<<16), r.IntN(1<<16), 44+r.IntN(40)))...)
		}
	}
	return peers
}

// someRanges are so many ranges of UDP and TCP ports above 20000.
func someRanges(r *rand.Rand, n int) (list []networkingv1.NetworkPolicyPort) {
	for i := range n {
		first := int32(20000 + r.IntN(40000))
		list = append(list, ports([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}[i%2], first, first+int32(r.IntN(20)))...)
	}
	return list
}

// around is a block of a random size in each family that holds the addresses
// from 10.NET.0.0 and fd00:NET:: on, and others beside them.
func around(r *rand.Rand, net int) []networkingv1.NetworkPolicyPeer {
	return blocks(fmt.Sprintf("10.%d.0.0/%d", net, 20+r.IntN(5)), fmt.Sprintf("fd00:%d::/%d", net, 48+r.IntN(60)))
}
