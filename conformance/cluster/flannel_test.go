package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestFlannelConflist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conflist")
	err := writeConflist("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"+
		"FLANNEL_IPV6_NETWORK=fd00:244::/48\nFLANNEL_IPV6_SUBNET=fd00:244:0:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n", path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []struct {
			Type string
			MTU  int
			IPAM struct {
				Ranges [][]struct{ Subnet string }
				Routes []struct{ Dst string }
			}
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, p := range list.Plugins {
		types = append(types, p.Type)
	}
	if want := []string{"bridge", "portmap", "bandwidth"}; !reflect.DeepEqual(types, want) {
		t.Fatalf("the plug-ins are %v, want %v", types, want)
	}
	bridge := list.Plugins[0]
	if bridge.MTU != 1430 {
		t.Errorf("the MTU is %d, want 1430", bridge.MTU)
	}
	var subnets, routes []string
	for _, r := range bridge.IPAM.Ranges {
		subnets = append(subnets, r[0].Subnet)
	}
	for _, r := range bridge.IPAM.Routes {
		routes = append(routes, r.Dst)
	}
	if want := []string{"10.244.1.0/24", "fd00:244:0:1::/64"}; !reflect.DeepEqual(subnets, want) {
		t.Errorf("the subnets are %v, want %v", subnets, want)
	}
	if want := []string{"0.0.0.0/0", "::/0"}; !reflect.DeepEqual(routes, want) {
		t.Errorf("the routes are %v, want %v", routes, want)
	}
	for _, bad := range []string{"", "FLANNEL_MTU=1450\n", "FLANNEL_SUBNET=10.244.1.1/24\n", "FLANNEL_SUBNET=nothing\nFLANNEL_MTU=1450\n"} {
		if _, err := flannelConflist(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestWithoutImports(t *testing.T) {
	const text = "import (\n\t_ \"x/a\"\n\t_ \"x/b\"\n\t\"x/c\"\n)\n"
	less, err := withoutImports(text, []string{"x/b"})
	if err != nil || less != strings.Replace(text, "\t_ \"x/b\"\n", "", 1) {
		t.Errorf("%q, %v", less, err)
	}
	for _, i := range []string{"x/c", "x/d"} {
		if _, err := withoutImports(text, []string{i}); err == nil {
			t.Errorf("%s: nothing is wrong", i)
		}
	}
}
