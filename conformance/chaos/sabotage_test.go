package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// opened records that the rules were in others' hands at a moment. The agent
// has the bound to mend it, if nothing hinders it. Where f fails nothing was
// done: what it meant is not there, or no longer.
func (w *world) opened(what string, f func() error) {
	from := time.Now().UnixNano()
	if f() != nil {
		return
	}
	w.log("%s", what)
	w.history.open = append(w.history.open, span{from, time.Now().UnixNano()})
	w.edited = from
	for _, tr := range w.troubles {
		if tr.what == nftTrouble && tr.healed == 0 {
			w.expectNotReady(tr, time.Now().Add(noticedWithin).UnixNano(), "the rules are not ours and nft does not work")
		}
	}
}

// noticedWithin is how soon readyz must tell that the rules cannot be mended.
var noticedWithin = 7 * time.Second

func (w *world) nft(args ...string) (string, error) {
	return run(w.node, append([]string{"nft"}, args...)...)
}

// flush takes all rules away, or those of a table.
func (w *world) flush(context.Context) {
	args := one(w, []string{"flush", "ruleset"}, []string{"delete", "table", "inet", "sluice"}, []string{"flush", "table", "inet", "sluice"},
		[]string{"delete", "table", "netdev", "sluice"}, []string{"delete", "table", "bridge", "sluice"})
	w.opened("nft "+strings.Join(args, " "), func() error { _, err := w.nft(args...); return err })
	if args[0] == "flush" && args[1] == "ruleset" {
		w.history.untracked(time.Now().Add(-bound).UnixNano())
		w.must(w.trackConnections())
	}
}

// trackConnections has the node track connections for another's sake, as kube-proxy's
// rules do. Without any rule that asks for it the kernel tracks none, and when it
// begins again answers count as first packets.
func (w *world) trackConnections() error {
	_, err := w.nft("add table inet other; add chain inet other forward { type filter hook forward priority 10; }; add rule inet other forward ct state invalid counter")
	return err
}

// edit changes a part of our tables.
func (w *world) edit(context.Context) {
	rules, err := readRules(w.node)
	w.must(err)
	line := w.drawEdit(rules)
	if line == "" {
		return
	}
	w.opened("nft "+line, func() error { _, err := w.nft(line); return err })
}

// drawEdit draws a command that takes a rule or elements away, or adds a rule.
func (w *world) drawEdit(r *ruleset) string {
	switch w.rng.IntN(4) {
	case 0:
		if len(r.rules) > 0 {
			x := r.rules[w.rng.IntN(len(r.rules))]
			return fmt.Sprintf("delete rule %s sluice %s handle %d", x.family, x.chain, x.handle)
		}
	case 1:
		if len(r.rules) > 0 {
			x := r.rules[w.rng.IntN(len(r.rules))]
			return fmt.Sprintf("insert rule %s sluice %s %s", x.family, x.chain, one(w, "accept", "drop"))
		}
	case 2:
		if len(r.filled) > 0 {
			x := r.filled[w.rng.IntN(len(r.filled))]
			return fmt.Sprintf("flush %s %s sluice %s", x.kind, x.family, x.name)
		}
	default:
		if len(r.rules) > 0 {
			x := r.rules[w.rng.IntN(len(r.rules))]
			return fmt.Sprintf("flush chain %s sluice %s", x.family, x.chain)
		}
	}
	return ""
}

// breakNft makes nft fail or hang for a while.
func (w *world) breakNft(context.Context) {
	does := one(w, "fail", "hang")
	tr := w.hinder(nftTrouble)
	w.log("nft will %s", does)
	w.must(w.agent.nft(does))
	tr.mend = func() error { return w.agent.nft("work") }
}

// editWithoutNft changes our tables while nft does not work, long enough for
// readyz to have to tell.
func (w *world) editWithoutNft(ctx context.Context) {
	w.breakNft(ctx)
	w.flush(ctx)
	sleep(ctx, noticedWithin+time.Second)
}

// upsetServer breaks the agent's way to its objects.
func (w *world) upsetServer(ctx context.Context) {
	s := w.api
	how := w.rng.IntN(6)
	tr := w.hinder(apiTrouble)
	switch how {
	case 0:
		w.log("API server refuses")
		s.setMood(refusing)
		s.breakWatches()
		tr.mend = func() error { s.setMood(serving); return nil }
	case 1:
		w.log("API server is down")
		s.stop()
		tr.mend = s.start
	case 2:
		w.log("API server is silent")
		s.setMood(silent)
		tr.mend = func() error { s.setMood(serving); return nil }
	case 3:
		w.log("watches break")
		s.breakWatches()
	case 4:
		w.log("watches break, and their past is forgotten")
		s.forget()
		s.breakWatches()
	default:
		w.log("API server restarts, and its past is forgotten")
		s.forget()
		s.stop()
		tr.mend = s.start
	}
	if *patient && w.chance(25) && tr.mend != nil {
		from := time.Now()
		w.expectNotReady(tr, from.Add(40*time.Second).UnixNano(), "the API server has not served for long")
		sleep(ctx, 45*time.Second)
	}
}

// filesNoticedWithin is how soon readyz must tell that manifests are broken or
// gone: file systems that tell of no changes are looked at every ten seconds.
var filesNoticedWithin = 13 * time.Second

// upsetFiles breaks a manifest, or takes the directory away.
func (w *world) upsetFiles(ctx context.Context) {
	d := w.files
	how := w.rng.IntN(3)
	tr := w.hinder(fileTrouble)
	tr.mend = d.find
	switch how {
	case 0:
		w.log("a manifest is broken")
		w.must(d.spoil())
		tr.mend = d.mend
	case 1:
		w.log("the directory of manifests is gone")
		w.must(d.lose(false))
	default:
		w.log("the directory of manifests is a file")
		w.must(d.lose(true))
	}
	w.expectNotReady(tr, time.Now().Add(filesNoticedWithin).UnixNano(), "manifests are broken or gone")
	if *patient && w.chance(25) {
		sleep(ctx, filesNoticedWithin+time.Second)
	}
}
