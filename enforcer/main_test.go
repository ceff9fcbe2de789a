package enforcer

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the enforcer's tests need root: they make network namespaces and change their nftables")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
