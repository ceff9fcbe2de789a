package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAgentStopsThoughTheKernelDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		answer := make(chan struct{})
		defer close(answer)
		begin := time.Now()
		time.AfterFunc(time.Hour, stop)
		err := endWithin(ctx, stopTimeout, func(context.Context) error { <-answer; return nil })
		if took := time.Since(begin); took != time.Hour+stopTimeout {
			t.Errorf("The agent ended after %v, want %v", took, time.Hour+stopTimeout)
		}
		if err == nil || !strings.Contains(err.Error(), "the rules stay in force") {
			t.Errorf("The agent that hung says %v, want why it ended, and that the rules stay", err)
		}
	})
}

func TestAnAgentsOwnEndIsItsOwn(t *testing.T) {
	refused := errors.New("refused")
	for _, want := range []error{nil, refused} {
		ctx, stop := context.WithCancel(t.Context())
		if got := endWithin(ctx, stopTimeout, func(context.Context) error { return want }); !errors.Is(got, want) {
			t.Errorf("The agent ended with %v, want %v", got, want)
		}
		got := endWithin(ctx, stopTimeout, func(ctx context.Context) error { stop(); <-ctx.Done(); return want })
		if !errors.Is(got, want) {
			t.Errorf("The agent that was stopped ended with %v, want %v", got, want)
		}
	}
}
