package chaos

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// story is a history of two Pods: open, then the second isolated at ten
// seconds, then open again at twenty.
func story() *checker {
	m := &model{ends: []end{
		{"shop/a", pod, [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}},
		{"shop/b", pod, [2]netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}},
		{"node", node, [2]netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}},
	}}
	h := newHistory(m)
	open := objects{
		pods:       []*corev1.Pod{storyPod(m, 0), storyPod(m, 1)},
		namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
	}
	closed := open
	closed.policies = []*networkingv1.NetworkPolicy{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "none"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop/b"}}},
	}}
	closed.versions[policyKind] = 1
	again := open
	again.versions[policyKind] = 2
	h.become(second(0), second(0), open)
	h.become(second(10), second(10), closed)
	h.become(second(20), second(20), again)
	return &checker{history: h}
}

func storyPod(m *model, i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: m.ends[i].name, Labels: map[string]string{"app": m.ends[i].name}},
		Status:     corev1.PodStatus{PodIP: m.ends[i].addrs[0].String(), PodIPs: []corev1.PodIP{{IP: m.ends[i].addrs[1].String()}}},
	}
}

func second(s float64) int64 { return int64(s * float64(time.Second)) }

// at is a datagram from a to b, sent and received in a moment.
func (c *checker) at(s float64, k kind) arrival {
	return arrival{datagram: datagram{class: c.history.model.class(0, 1, 1, 0), kind: k, by: 2, sent: second(s)}, at: second(s) + 1e5}
}

func TestCheckerFindsForbiddenPackets(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*history)
		at     float64
		kind   kind
		want   bool
	}{
		"while all is open":                    {nil, 9, long, false},
		"within the bound":                     {nil, 10 + bound.Seconds() - 0.1, long, false},
		"beyond the bound":                     {nil, 10 + bound.Seconds() + 0.1, long, true},
		"beyond it, on a flow of its own":      {nil, 19, fresh, true},
		"when it is allowed again":             {nil, 20.1, long, false},
		"while the agent is dead since before": {func(h *history) { h.hindered = []*span{{second(9), second(18)}} }, 17, long, false},
		"while it is dead since after":         {func(h *history) { h.hindered = []*span{{second(14), 0}} }, 17, long, true},
		"a while after it was dead":            {func(h *history) { h.hindered = []*span{{second(9), second(13)}} }, 16, long, true},
		"soon after it was dead":               {func(h *history) { h.hindered = []*span{{second(9), second(13)}} }, 14, long, false},
		"two troubles, one after the other":    {func(h *history) { h.hindered = []*span{{second(12), 0}, {second(9), second(13)}} }, 18, long, false},
		"soon after the rules were flushed":    {func(h *history) { h.open = []span{{second(15), second(15)}} }, 16, long, false},
		"a while after they were":              {func(h *history) { h.open = []span{{second(15), second(15)}} }, 18, long, true},
		"forged":                               {nil, 9, forged, true},
		"forged on a flow that lives":          {nil, 9, hijacking, true},
		"forged, while the agent is dead":      {func(h *history) { h.hindered = []*span{{second(8), 0}} }, 9, forged, true},
		"from an interface that is new":        {func(h *history) { h.fresh[0] = []span{{second(14), second(14)}} }, 15, long, false},
		"from one that was new":                {func(h *history) { h.fresh[0] = []span{{second(14), second(14)}} }, 17, long, true},
		"forged by one that is new":            {func(h *history) { h.fresh[2] = []span{{second(8), second(8)}} }, 9, forged, false},
		"forged by another":                    {func(h *history) { h.fresh[0] = []span{{second(8), second(8)}} }, 9, forged, true},
		"forged, soon after a flush":           {func(h *history) { h.open = []span{{second(8), second(8)}} }, 9, forged, false},
	} {
		k := story()
		if c.change != nil {
			c.change(k.history)
		}
		k.arrived(k.at(c.at, c.kind))
		if (k.violations == 1) != c.want {
			t.Errorf("%s: %d violations, want one: %v\n%v", name, k.violations, c.want, k.report)
		}
	}
}

func TestCheckerFindsCutConnections(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*history)
		at     float64
		want   bool
	}{
		"while all is open":                {nil, 9, true},
		"soon after it was opened":         {nil, 20.5, false},
		"a while after it was":             {nil, 20 + bound.Seconds() + 0.1, true},
		"while it is closed":               {nil, 15, false},
		"just before it is closed":         {nil, 9.9, false},
		"while the agent is dead":          {func(h *history) { h.hindered = []*span{{second(4), 0}} }, 9, true},
		"while it knows of nothing since":  {func(h *history) { h.hindered = []*span{{second(19), 0}} }, 25, false},
		"soon after the rules were edited": {func(h *history) { h.open = []span{{second(8), second(8)}} }, 9, false},
		"while the path is interrupted":    {func(h *history) { h.broken[1] = []span{{second(8.5), second(9.2)}} }, 9, false},
		"while another's path is":          {func(h *history) { h.broken[2] = []span{{second(8.5), second(9.2)}} }, 9, true},
	} {
		k := story()
		if c.change != nil {
			c.change(k.history)
		}
		k.lost(k.at(c.at, long).datagram)
		if (k.violations == 1) != c.want {
			t.Errorf("%s: %d violations, want one: %v\n%v", name, k.violations, c.want, k.report)
		}
	}
}

func TestCheckerKnowsWhatNoPolicySays(t *testing.T) {
	c := story()
	m := c.history.model
	unknown := objects{pods: c.history.states[0].pods[1:]}
	for class, want := range map[int]verdict{
		m.class(0, 1, 0, 0): forbidden, m.class(1, 0, 0, 0): forbidden, m.class(0, 2, 1, 1): forbidden,
		m.class(2, 0, 0, 0): either, m.class(2, 1, 1, 0): allowed, m.class(1, 2, 0, 1): allowed, m.class(1, 1, 0, 0): either,
	} {
		if got := m.verdict(unknown.cluster(), class); got != want {
			t.Errorf("%s: %s, want %s", m.name(class), got, want)
		}
		if s, d, f, p := m.of(class); m.class(s, d, f, p) != class {
			t.Errorf("class %d is %d, %d, %d, %d", class, s, d, f, p)
		}
	}
}

// A policy and a label that change at the same time may reach the agent in
// either order.
func TestCheckerAllowsForOrder(t *testing.T) {
	c := story()
	h := c.history
	before, after := h.now().objects, h.now().objects
	between := after
	// The policy is there, but selects b only with its old label; then the new
	// label comes with another policy for it.
	relabelled := storyPod(h.model, 1)
	relabelled.Labels = map[string]string{"app": "other"}
	isolate := func(app string, version int) []*networkingv1.NetworkPolicy {
		return []*networkingv1.NetworkPolicy{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "none"},
			Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		}}
	}
	before.policies, before.versions[policyKind] = isolate("shop/b", 3), 3
	between.policies, between.versions[policyKind] = isolate("shop/b", 3), 3
	after.policies, after.versions[policyKind] = isolate("other", 4), 4
	after.pods, after.versions[podKind] = []*corev1.Pod{h.states[0].pods[0], relabelled}, 1
	h.become(second(30), second(30), before)
	h.become(second(40), second(40), after)
	if c.arrived(c.at(40.5, long)); c.violations != 0 {
		t.Errorf("found fault with new Pods under old policies: %v", c.report)
	}
	if c.arrived(c.at(39.5, long)); c.violations != 1 {
		t.Error("found no fault with a forbidden packet before")
	}
	if c.arrived(c.at(45, long)); c.violations != 2 {
		t.Error("found no fault with a forbidden packet after")
	}
}

// When an address changes hands its connections are deleted, and an answer may be
// taken for the beginning of one: where that is allowed, so is what it answers.
func TestCheckerAllowsForDeletedConnections(t *testing.T) {
	for name, c := range map[string]struct {
		reborn  span
		end     int
		at      float64
		kind    kind
		isolate bool // a, so that answers may not begin a connection either
		want    bool
	}{
		"no address changed hands":         {span{second(1), second(2)}, 0, 15, long, false, true},
		"one did":                          {span{second(1), 0}, 0, 15, long, false, false},
		"one did, on a flow of its own":    {span{second(1), 0}, 0, 15, fresh, false, true},
		"another did":                      {span{second(1), 0}, 2, 15, long, false, true},
		"one did, and answers are refused": {span{second(14), 0}, 1, 19, long, true, true},
	} {
		k := story()
		k.history.reborn[c.end] = []span{c.reborn}
		if c.isolate {
			for _, s := range k.history.states[1:2] {
				all := s.policies[0].DeepCopy()
				all.Name, all.Spec.PodSelector = "all", metav1.LabelSelector{}
				s.policies = append(s.policies, all)
			}
		}
		k.arrived(k.at(c.at, c.kind))
		if (k.violations == 1) != c.want {
			t.Errorf("%s: %d violations, want one: %v\n%v", name, k.violations, c.want, k.report)
		}
	}
	c := story()
	relabelled, other := c.history.now().objects, c.history.now().objects
	relabelled.pods = []*corev1.Pod{storyPod(c.history.model, 0), relabelled.pods[1]}
	relabelled.pods[0].Labels = nil
	c.history.become(second(30), second(30), relabelled)
	if len(c.history.reborn) != 0 {
		t.Error("new labels count as another Pod")
	}
	other.pods = []*corev1.Pod{storyPod(c.history.model, 0), other.pods[1]}
	other.pods[0].UID = "other"
	c.history.become(second(31), second(31), other)
	c.history.renewed(second(32))
	if got := c.history.reborn[0]; len(got) != 1 || got[0] != (span{second(31), second(32)}) {
		t.Errorf("another Pod with the address: %v", got)
	}
}

func TestCheckerAwaitsAnswers(t *testing.T) {
	c := story()
	early, late := c.at(5, long), c.at(9, long)
	early.seq, late.seq = 1, 2
	echo := early
	echo.echo = true
	s := &seen{sent: []datagram{early.datagram, late.datagram}, arrivals: []arrival{early, echo}}
	rest := c.round(s, second(9.1))
	if len(rest) != 1 || rest[0].seq != 2 || c.violations != 0 || c.counts.sent != 1 || c.arrivals != 2 {
		t.Fatalf("%v left, %+v", rest, c.counts)
	}
	if rest = c.round(&seen{sent: rest}, second(12)); len(rest) != 0 || c.cut != 1 {
		t.Errorf("%v left, %+v", rest, c.counts)
	}
}

func TestHistoryForgetsOnlyWhatIsOver(t *testing.T) {
	c := story()
	h := c.history
	h.hindered = []*span{{second(1), second(2)}, {second(11.5), 0}}
	h.forget(second(15))
	if len(h.states) != 3 || len(h.hindered) != 1 {
		t.Errorf("%d states, %d hindrances left", len(h.states), len(h.hindered))
	}
	if c.arrived(c.at(19, long)); c.violations != 0 {
		t.Errorf("the agent is hindered since before: %v", c.report)
	}
	h.hindered = nil
	if h.forget(second(15)); len(h.states) != 2 {
		t.Errorf("%d states left without hindrance", len(h.states))
	}
}

// On routed veths, and nowhere else, a packet may pass that hijacks a live flow
// past a guard that is not asked or not there; any other must not.
func TestCheckerKnowsOneGap(t *testing.T) {
	for name, c := range map[string]struct {
		routed bool
		change func(*history)
		at     float64
		by     int
		kind   kind
		gap    bool
	}{
		"redirected":                   {true, func(h *history) { h.redirected[2] = []span{{second(8), 0}} }, 9, 2, hijacking, true},
		"redirected once":              {true, func(h *history) { h.redirected[2] = []span{{second(1), second(2)}} }, 9, 2, hijacking, false},
		"another redirected":           {true, func(h *history) { h.redirected[0] = []span{{second(8), 0}} }, 9, 2, hijacking, false},
		"redirected, on a flow of own": {true, func(h *history) { h.redirected[2] = []span{{second(8), 0}} }, 9, 2, forged, false},
		"redirected, on a bridge":      {false, func(h *history) { h.redirected[2] = []span{{second(8), 0}} }, 9, 2, hijacking, false},
		"without an object":            {true, func(h *history) { h.states[0].pods = h.states[0].pods[1:] }, 9, 0, hijacking, true},
		"without one, on a bridge":     {false, func(h *history) { h.states[0].pods = h.states[0].pods[1:] }, 9, 0, hijacking, false},
		"with one":                     {true, func(*history) {}, 9, 0, hijacking, false},
	} {
		k := story()
		k.routed = c.routed
		c.change(k.history)
		a := k.at(c.at, c.kind)
		a.by = c.by
		k.arrived(a)
		if (k.gaps == 1) != c.gap || (k.violations == 1) == c.gap {
			t.Errorf("%s: %d gaps, %d violations", name, k.gaps, k.violations)
		}
	}
}

func TestRulesetsDiffer(t *testing.T) {
	list := func(parts ...string) string {
		return `{"nftables": [{"metainfo": {}}, {"table": {"family": "inet", "name": "sluice", "handle": 1}},` +
			`{"table": {"family": "ip", "name": "nat", "handle": 2}},` + strings.Join(parts, ",") + `]}`
	}
	set := func(elements string) string {
		return `{"set": {"family": "inet", "name": "s", "table": "sluice", "handle": 3, "elem": [` + elements + `]}}`
	}
	rule := func(handle, mark int, more string) string {
		return fmt.Sprintf(`{"rule": {"family": "inet", "table": "sluice", "chain": "c", "handle": %d, "expr": [{"match": {"left": {"ct": {"key":"mark"}}, "right": %d}}%s]}}`, handle, mark, more)
	}
	base := list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, ""))
	for name, c := range map[string]struct {
		text string
		same bool
	}{
		"order, handles and the epoch":  {list(set(`"10.0.0.2", "10.0.0.1"`), rule(9, 513, "")), true},
		"an element less":               {list(set(`"10.0.0.2"`), rule(7, 512, "")), false},
		"an element more":               {list(set(`"10.0.0.1", "10.0.0.2", "10.0.0.3"`), rule(7, 512, "")), false},
		"a rule more":                   {list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, ""), rule(8, 512, "")), false},
		"another rule":                  {list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, `, {"accept": null}`)), false},
		"a set that nothing refers to":  {list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, ""), `{"set": {"family": "inet", "name": "t", "table": "sluice"}}`), false},
		"what is in another's table":    {list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, ""), `{"set": {"family": "ip", "name": "t", "table": "nat"}}`), true},
		"the count of a counter":        {list(set(`"10.0.0.1", "10.0.0.2"`), rule(7, 512, ""), `{"counter": {"family": "ip", "name": "t", "table": "nat", "packets": 5}}`), true},
		"the rules in a set's place":    {list(rule(7, 512, ""), set(`"10.0.0.1", "10.0.0.2"`)), true},
		"a rule of another, in between": {list(set(`"10.0.0.1", "10.0.0.2"`), rule(6, 0, `, {"drop": null}`), rule(7, 512, "")), false},
	} {
		a, err := parseRules(base)
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseRules(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := differences(a.text, b.text); (diff == "") != c.same {
			t.Errorf("%s: the difference is %q", name, diff)
		}
	}
}
