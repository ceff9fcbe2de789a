package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAddressesDoNotOverlap(t *testing.T) {
	for _, n := range []network{ipv4, ipv6} {
		seen := map[netip.Prefix]bool{}
		addrs := map[netip.Addr]bool{n.controlPlane(): true}
		for number := 1; number <= maxNodes; number++ {
			pods, addr := n.podsOf(number), n.node(number)
			if pods != pods.Masked() || !n.pods.Overlaps(pods) || seen[pods] {
				t.Errorf("node %d: Pods %s", number, pods)
			}
			if !n.machines.Contains(addr) || addrs[addr] {
				t.Errorf("node %d: address %s", number, addr)
			}
			seen[pods], addrs[addr] = true, true
		}
		if !n.services.Contains(n.apiService()) {
			t.Errorf("%s is not in %s", n.apiService(), n.services)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Nodes: 2, CNI: "flannel", Flannel: "host-gw", Proxy: "iptables", IP: "dual"}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	if name := good.String(); name != "flannel-iptables-dual-host-gw" {
		t.Errorf("it is called %s", name)
	}
	for name, change := range map[string]func(*Options){
		"no nodes":       func(o *Options) { o.Nodes = 0 },
		"too many nodes": func(o *Options) { o.Nodes = maxNodes + 1 },
		"cni":            func(o *Options) { o.CNI = "calico" },
		"flannel":        func(o *Options) { o.Flannel = "udp" },
		"proxy":          func(o *Options) { o.Proxy = "ipvs" },
		"ip":             func(o *Options) { o.IP = "ipv5" },
	} {
		o := good
		change(&o)
		if o.validate() == nil {
			t.Errorf("%s: %+v is taken", name, o)
		}
	}
}

// TestRawSCTPIsReplacedIn compares what agnhost is built from with what the other
// programs are built from.
func TestRawSCTPIsReplacedIn(t *testing.T) {
	dir := t.TempDir()
	b := &builder{source: ".", out: io.Discard}
	path, err := b.withRawSCTP(program{name: "agnhost", module: "kubernetes"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	was, now := read(t, "kubernetes/go.mod"), read(t, path)
	rest, ok := strings.CutPrefix(now, was)
	if !ok || strings.TrimSpace(rest) != "replace github.com/ishidawataru/sctp => ../sctp" {
		t.Errorf("%s differs from kubernetes/go.mod by %q", path, rest)
	}
	if read(t, "kubernetes/go.sum") != read(t, strings.TrimSuffix(path, "mod")+"sum") {
		t.Error("the checksums differ")
	}
	if !exists("kubernetes/../sctp/go.mod") {
		t.Error("what replaces it is not there")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A backend says nothing about a cluster without flannel.
func TestOptionsOfOthersAreForgotten(t *testing.T) {
	o := Options{Nodes: 2, CNI: "bridge", Flannel: vxlan, Proxy: "nftables", IP: "ipv4"}
	o.settle()
	if o.Flannel != "" || o.String() != "bridge-nftables-ipv4" || o.attachment() != "bridge" {
		t.Errorf("%+v is called %s", o, &o)
	}
	o.CNI, o.Flannel = "flannel", vxlan
	o.settle()
	if o.String() != "flannel-nftables-ipv4-vxlan" || o.attachment() != "flannel vxlan" {
		t.Errorf("%+v is called %s", o, &o)
	}
}

func TestImagesAreReproducible(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("run me"), 0o600); err != nil {
		t.Fatal(err)
	}
	var images [2][]byte
	for i := range images {
		path := filepath.Join(dir, "image.tar")
		err := writeImage(path, "localhost/x:y", "program", []string{"wait"}, map[string]string{"/program": program, "/b": program, "/a": program})
		if err != nil {
			t.Fatal(err)
		}
		if images[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same contents gave two images")
	}
}

func TestAuthoritySignsUsersAndServers(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	user, err := ca.user("system:node:node1", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	certificate := parse(t, user.certificate)
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if s := certificate.Subject; s.CommonName != "system:node:node1" || len(s.Organization) != 1 || s.Organization[0] != "system:nodes" {
		t.Errorf("the user is %s", s)
	}
	server, err := ca.server("kube-apiserver", []string{"kubernetes"}, []netip.Addr{netip.MustParseAddr("fd00::1")})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubernetes", "fd00::1"} {
		if _, err := parse(t, server.certificate).Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
