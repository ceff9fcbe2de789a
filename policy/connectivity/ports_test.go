package connectivity_test

import (
	"testing"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

func TestDescribePorts(t *testing.T) {
	tcp := func(first, last uint16) connectivity.Ports {
		return connectivity.Ports{Protocol: policy.TCP, First: first, Last: last}
	}
	other := connectivity.Ports{Protocol: connectivity.OtherProtocols}
	for want, list := range map[string][]connectivity.Ports{
		"":                          nil,
		"all":                       connectivity.Everything(),
		"TCP":                       {tcp(0, 65535)},
		"TCP 80":                    {tcp(80, 80)},
		"TCP 80-82":                 {tcp(80, 80), tcp(81, 82)},
		"TCP 80,443":                {tcp(80, 80), tcp(443, 443)},
		"TCP 65535; UDP 0-1":        {tcp(65535, 65535), {Protocol: policy.UDP, First: 0, Last: 1}},
		"TCP; UDP; other protocols": {tcp(0, 65535), {Protocol: policy.UDP, First: 0, Last: 65535}, other},
	} {
		if got := connectivity.Describe(list); got != want {
			t.Errorf("%v are %q, not %q", list, got, want)
		}
	}
}
