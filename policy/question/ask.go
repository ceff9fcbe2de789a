package question

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Ask answers a question: it finds what its ends stand for, the paths between
// them, and the verdicts on these. An error says why there is no answer; it is a
// [Missing] where more objects of a cluster must be supplied first.
func (w *World) Ask(q Question) (Answer, error) {
	p := pass{World: w, q: q}
	w.missing = nil
	err := p.run()
	switch {
	case len(w.missing) > 0:
		return Answer{}, &Missing{w.missing}
	case err != nil:
		return Answer{}, err
	}
	p.answer.conclude(w, p.ways, p.unknown)
	if len(w.missing) > 0 {
		return Answer{}, &Missing{w.missing}
	}
	return p.answer, nil
}

// pass is one question on its way to the answer.
type pass struct {
	*World
	// q is settled, and gets the port and the protocol that are found out.
	q      Question
	answer Answer
	ways   []way
	// leftOut is why some of what the question stands for has no path.
	leftOut []error
	// unfit is why a pair of those that are meant on both sides has no path.
	unfit error
	// doubt is to be said of a destination that is judged as it is.
	doubt string
	// unknown is whoever speaks for an entry, where none of its Pods is known.
	unknown *unknownSpeaker
}

// run finds the paths: from each Pod or address that Src stands for, through the
// door that Dst is, or to each that Dst stands for.
func (p *pass) run() error {
	srcs, err := p.source()
	if err != nil {
		return fmt.Errorf("src: %w", err)
	}
	if p.q.Dst.Entry() {
		return p.toEntry(srcs)
	}
	d, dsts, err := p.destination()
	if err != nil {
		return fmt.Errorf("dst: %w", err)
	}
	p.answer.Plural = p.q.Src.plural() || p.q.Dst.plural() || d != nil
	if d != nil {
		p.enter(d)
	} else if err := p.dial(dsts); err != nil {
		return err
	}
	p.answer.Question = p.q.String()
	if err := tooMany(len(srcs), len(dsts)); err != nil {
		return err
	}
	for i := range srcs {
		if d != nil {
			p.leaveOut(p.through(d, &srcs[i]))
		} else if err := p.direct(&srcs[i], dsts); err != nil {
			return fmt.Errorf("src: %w", err)
		}
	}
	if len(p.ways) == 0 {
		return append(p.leftOut, p.unfit)[0]
	}
	for _, err := range p.leftOut {
		p.note("left out: " + err.Error())
	}
	if d != nil {
		p.note(d.behind.Notice())
	}
	return nil
}

// note adds what a reader might not expect, once.
func (p *pass) note(notices ...string) { p.answer.Notices = once(p.answer.Notices, notices...) }

// leaveOut keeps why a part of what the question stands for has no path.
func (p *pass) leaveOut(err error) {
	if err != nil {
		p.leftOut = append(p.leftOut, err)
	}
}

// once adds what is not there yet, but for empty ones.
func once(list []string, more ...string) []string {
	for _, s := range more {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// source finds what a question comes from.
func (p *pass) source() ([]member, error) {
	if err := p.settle(&p.q.Src); err != nil {
		return nil, err
	}
	return p.members("src", p.q.Src)
}

// destination finds what a question goes to: a door, or what Dst stands for.
func (p *pass) destination() (*door, []member, error) {
	if err := p.settle(&p.q.Dst); err != nil {
		return nil, nil, err
	}
	var dsts []member
	if p.q.Dst.Kind == KindNode {
		// A Node's addresses are what its doors are found by.
		var err error
		if dsts, err = p.members("dst", p.q.Dst); err != nil {
			return nil, nil, err
		}
	}
	d, err := p.door(dsts)
	if err != nil || d != nil || dsts != nil {
		return d, dsts, err
	}
	dsts, err = p.members("dst", p.q.Dst)
	return nil, dsts, err
}

// dial completes a question that goes to Pods and addresses themselves.
func (p *pass) dial(dsts []member) error {
	if p.q.GuessPort && p.q.Port == "" && p.q.Protocol.HasPorts() {
		var ok bool
		if p.q.Port, p.q.Protocol, ok = p.firstPort(dsts[0].End); !ok {
			return errors.New("the port is missing: DST declares none, so write DST:PORT, or DST:/ICMP")
		}
		p.note(fmt.Sprintf("no port was given: this is for %s/%s, the first that the Pod declares", p.q.Port, p.q.Protocol))
	}
	if k := p.q.Dst.Kind; k == KindAddress || k == KindNode {
		p.note(p.doubt)
	}
	return nil
}

// firstPort is the first container port that a Pod declares, for a question that
// names none.
func (w *World) firstPort(e End) (port string, proto policy.Protocol, ok bool) {
	if pod := w.pods[e.pod()]; pod != nil {
		for _, container := range pod.Spec.Containers {
			for _, p := range container.Ports {
				return fmt.Sprint(p.ContainerPort), policy.ProtocolOf(p.Protocol), true
			}
		}
	}
	return "", 0, false
}

// direct adds the paths from one Pod or address to those that Dst stands for,
// with nothing between them.
func (p *pass) direct(src *member, dsts []member) error {
	for i := range dsts {
		flow, notices, err := p.flow(src, &dsts[i])
		if err != nil {
			if p.q.Src.spread() || p.q.Dst.spread() {
				p.unfit = err // the other family, or the other Pods, have their own paths
			} else {
				p.leaveOut(err)
			}
			continue
		}
		first, notes, err := p.directOver(src, flow, notices)
		if err != nil {
			return err
		}
		p.answer.Plural = p.answer.Plural || len(first) > 1
		p.note(notes...)
		other, notes, err := p.overOther(src, &dsts[i], flow)
		if err != nil {
			return err
		}
		p.add(first, other, notes)
	}
	return nil
}

// directOver are the paths of a flow with nothing between its ends, and what is to be said
// of them.
func (p *pass) directOver(src *member, flow policy.Flow, notices []string) ([]Path, []string, error) {
	if twin, is := p.made.twins[podName(flow.Dst)]; is && flow.Src == flow.Dst {
		flow.Dst = twin[family(flow.Dst.Addr)]
	}
	paths, notes, err := p.fromNode(src, flow)
	if err != nil {
		return nil, nil, err
	}
	notes = append(notes, p.atNodeDNS(&paths[0])...)
	for i := range paths {
		paths[i].Notices = append(notices[:len(notices):len(notices)], paths[i].Notices...)
	}
	return paths, notes, nil
}

// overOther are the paths over the other family than that of a flow: none where one of the
// ends has no address of it that is its own.
func (p *pass) overOther(src, dst *member, flow policy.Flow) ([]Path, []string, error) {
	s, d := *src, *dst
	s.addrs, d.addrs = otherFamily(src.addrs, flow.Src.Addr), otherFamily(dst.addrs, flow.Dst.Addr)
	if len(s.addrs) == 0 || len(d.addrs) == 0 {
		return nil, nil, nil
	}
	other, notices, err := p.flow(&s, &d)
	if err != nil || other.Src.Addr == other.Dst.Addr && src.pod() != dst.pod() {
		return nil, nil, nil //nolint:nilerr // the first family has told what is wrong
	}
	return p.directOver(&s, other, notices)
}

// podName is the Pod's name of an end, empty where it is none.
func podName(e policy.End) types.NamespacedName {
	if e.Pod == nil {
		return types.NamespacedName{}
	}
	return e.Pod.NamespacedName
}

// flow finds the addresses and the port number that are meant between two Pods or
// addresses. The notices say what a reader might not expect.
func (p *pass) flow(src, dst *member) (flow policy.Flow, notices []string, err error) {
	srcPod, dstPod := src.pod(), dst.pod()
	two := srcPod.Name != "" && dstPod.Name != "" && srcPod != dstPod
	from, to, ok := sameFamily(src.addrs, dst.addrs, two)
	if !ok {
		return flow, nil, fmt.Errorf("src and dst have no address of the same family: %v and %v", src.addrs, dst.addrs)
	}
	flow = p.flowBetween(srcPod, from, dstPod, to)
	flow.Protocol = p.q.Protocol
	if two {
		if err := twoOfOne(srcPod, dstPod, &flow); err != nil {
			return flow, nil, err
		}
	}
	if flow.Port, err = p.port(dst, flow.Dst); err != nil {
		return flow, nil, fmt.Errorf("port: %w", err)
	}
	notices = once(nil, src.notice, dst.notice, ownerNotice(srcPod, flow.Src), ownerNotice(dstPod, flow.Dst), p.hostNotice(srcPod), p.hostNotice(dstPod))
	return flow, once(notices, p.sharedNotices(&flow)...), nil
}

// sameFamily picks the first of dsts for which there is a source of the same
// family. Of two Pods that share an address it prefers others, if there are any.
func sameFamily(srcs, dsts []netip.Addr, two bool) (src, dst netip.Addr, ok bool) {
	for _, apart := range []bool{two, false} {
		for _, d := range dsts {
			for _, s := range srcs {
				if s.Is4() == d.Is4() && (!apart || s != d) {
					return s, d, true
				}
			}
		}
	}
	return src, dst, false
}
