package tables

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheAgentsEndCutsATransactionThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, stop := context.WithCancel(t.Context())
		ctx, cancel := transactionContext(agent)
		defer cancel()
		stop()
		time.Sleep(lastTransactionTimeout - time.Millisecond)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatalf("A transaction was cut short by the end of the agent: %v", ctx.Err())
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Fatalf("A transaction may go on for longer than %v after the end of the agent", lastTransactionTimeout)
		}
	})
}

func TestATransactionHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := transactionContext(t.Context())
		defer cancel()
		time.Sleep(TransactionTimeout - time.Millisecond)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatalf("A transaction was ended before its time: %v", ctx.Err())
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Fatal("A transaction that hangs is not ended")
		}
	})
}
