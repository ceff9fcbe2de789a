//go:build linux && !nolab

package app

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// shopFiles are the manifests of the demonstration, for users to read and, with
// --keep, to edit.
//
//go:embed shop/*.yaml
var shopFiles embed.FS

// internet stands for an address outside of the cluster.
var internet = netip.MustParseAddr("203.0.113.80")

func readShop() (manifest.Set, error) {
	var loader manifest.Loader
	files, err := fs.Glob(shopFiles, "shop/*.yaml")
	if err != nil {
		return manifest.Set{}, err
	}
	for _, file := range files {
		data, err := shopFiles.ReadFile(file)
		if err != nil {
			return manifest.Set{}, err
		}
		loader.Add(file, data)
	}
	set, problems := loader.Finish()
	for _, p := range problems {
		if !p.Notice {
			return set, fmt.Errorf("the shop's manifests: %s", p)
		}
	}
	return set, nil
}

// column is a destination of the matrix.
type column struct {
	name, port string
	addr       netip.Addr
	protocol   policy.Protocol
	number     uint16
}

func (d *demo) columns() []column {
	return []column{
		{"frontend", ":80", d.podAddr("shop", "frontend"), policy.TCP, 80},
		{"api", ":8080", d.podAddr("shop", "api"), policy.TCP, 8080},
		{"db", ":5432", d.podAddr("shop", "db"), policy.TCP, 5432},
		{"dns", ":53/UDP", d.podAddr("kube-system", "dns"), policy.UDP, 53},
		{"internet", ":443", internet, policy.TCP, 443},
	}
}

type row struct {
	name string
	addr netip.Addr
}

func (d *demo) rows() []row {
	return []row{
		{"shop/frontend", d.podAddr("shop", "frontend")},
		{"shop/api", d.podAddr("shop", "api")},
		{"shop/db", d.podAddr("shop", "db")},
		{"guests/stranger", d.podAddr("guests", "stranger")},
		{"internet", internet},
	}
}

const (
	rowWidth    = 20
	columnWidth = 11
)

// matrix probes all pairs and prints them, and counts those where the kernel
// and the evaluator are not of one mind.
func (d *demo) matrix(ctx context.Context) error {
	var flows []lab.Flow
	for _, r := range d.rows() {
		for _, c := range d.columns() {
			if r.addr != c.addr {
				flows = append(flows, lab.Flow{Src: r.addr, Dst: c.addr, Protocol: uint8(c.protocol), Port: c.number})
			}
		}
	}
	reached, err := d.rig.lab.Probe(ctx, flows)
	if err != nil {
		return err
	}
	now := make(map[lab.Flow]bool, len(flows))
	for i, f := range flows {
		now[f] = reached[i]
	}
	d.printMatrix(now)
	d.last = now
	return nil
}

func (d *demo) printMatrix(now map[lab.Flow]bool) {
	names, ports := pad("   from \\ to", rowWidth), pad("", rowWidth)
	for _, c := range d.columns() {
		names += pad(c.name, columnWidth)
		ports += pad(c.port, columnWidth)
	}
	d.say(strings.TrimRight(names, " "))
	d.say(d.palette.faint(strings.TrimRight(ports, " ")))
	index := d.world().Index
	changed, wrong := 0, 0
	for _, r := range d.rows() {
		line := pad("   "+r.name, rowWidth)
		for _, c := range d.columns() {
			f := lab.Flow{Src: r.addr, Dst: c.addr, Protocol: uint8(c.protocol), Port: c.number}
			reached, probed := now[f]
			if !probed {
				line += pad("-", columnWidth)
				continue
			}
			verdict := index.Evaluate(policy.Flow{
				Src: index.EndOfAddr(f.Src), Dst: index.EndOfAddr(f.Dst), Protocol: c.protocol, Port: f.Port,
			})
			cell := d.palette.mark(reached)
			width := 1
			if before, known := d.last[f]; known && before != reached {
				cell += d.palette.bold(" new")
				width += 4
				changed++
			}
			if verdict.Allowed != reached {
				cell += d.palette.red(" ?!")
				width += 3
				wrong++
			}
			line += cell + strings.Repeat(" ", columnWidth-width)
		}
		d.say(strings.TrimRight(line, " "))
	}
	d.wrong += wrong
	agreement := "all as the policies say"
	if wrong > 0 {
		agreement = d.palette.red(fmt.Sprintf("%d are not as the policies say", wrong))
	}
	d.say("")
	if d.last == nil {
		d.say(fmt.Sprintf("   %d packets, %s", len(now), agreement))
		return
	}
	d.say(fmt.Sprintf("   %d packets, %d verdicts changed, %s", len(now), changed, agreement))
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
