package compiler_test

import (
	"testing"
)

// TestGoldenPorts shows the guards of the ports of two Pods, one of them isolated,
// and loads them.
func TestGoldenPorts(t *testing.T) {
	n := compileScript(t, plainConfig(), true, readFile(t, "bridge.txt"))
	got := n.compiler.PortGuards().PortText()
	compareGolden(t, "ports.nft", got)
	loadInKernel(t, got)
}
