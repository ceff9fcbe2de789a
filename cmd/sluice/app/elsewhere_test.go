package app

import (
	"runtime"
	"strings"
	"testing"
)

// Every command is listed on every platform, with the same words.
func TestCommandsAreListedEverywhere(t *testing.T) {
	got := sluice(t, "", "--help")
	for name, short := range map[string]string{"agent": agentShort, "cleanup": cleanupShort, "demo": demoShort, "explain": "", "verify": "", "version": ""} {
		if !strings.Contains(got.out, "  "+name+" ") || !strings.Contains(got.out, short) {
			t.Errorf("%s is not listed:\n%s", name, got.out)
		}
	}
	if runtime.GOOS == "linux" && (!worksHere(t, "agent") || !worksHere(t, "cleanup")) {
		t.Error("an agent that does not work on Linux")
	}
}

// What cannot work in a binary says so in one sentence, whatever its flags are,
// and does nothing.
func TestElsewhere(t *testing.T) {
	const why = "the agent enforces with the nftables of Linux, and this is plan9"
	for _, args := range [][]string{{}, {"--manifests", "x"}, {"--bogus=1", "more"}, {"--help"}} {
		cmd := elsewhere("agent", agentShort, why)
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.Execute(); err == nil || err.Error() != why {
			t.Errorf("%v: %v", args, err)
		}
	}
	file := write(t, "pods.yaml", twoPods)
	for _, args := range [][]string{{"agent", "--node-name", "x"}, {"cleanup"}, {"demo", "--keep"}, {"verify", "-f", file, "--flows", file, "--in-kernel"}} {
		if works := worksHere(t, args[0]); works && (args[0] != "verify" || worksHere(t, "demo")) {
			continue
		}
		got := sluice(t, "", args...)
		if got.code != exitUnusable || got.out != "" || !strings.HasPrefix(got.err, "error: ") || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if want, got := "real packets need network namespaces and nftables of Linux, and this is "+runtime.GOOS, noLab(); runtime.GOOS != "linux" && got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
