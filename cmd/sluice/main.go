// Command sluice enforces Kubernetes NetworkPolicy with nftables, and answers
// what policies allow and why.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-net/sluice/cmd/sluice/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Main(ctx, os.Args[1:], app.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}
