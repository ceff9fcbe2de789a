package conntrack

import (
	"os"
	"testing"

	"github.com/sluice-net/sluice/conformance/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Run(m)) }
