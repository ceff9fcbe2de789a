package detect

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

func TestCNIConfigurationIsRead(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"10-a.conflist": `{"cniVersion":"1.0.0","name":"k8s","plugins":[{"type":"calico","mtu":1440,"kubernetes":{"kubeconfig":"/secret"},"token":"s3cr3t"},{"type":"portmap"}]}`,
		"20-b.conf":     `{"type":"macvlan","name":"b"}`,
		"30-c.json":     `{`,
		"40-d.conflist": `{"plugins":[{"mtu":1}]}`,
		"50-e.conflist": `{"plugins":[]}`,
		"README":        "not one",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "60-f.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A pipe that nobody writes to would hold whoever opens it.
	keep, err := os.OpenFile(filepath.Join(dir, "60-f.conf"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keep.Close() }()
	want := &diagnosis.CNI{Dir: dir, Files: []diagnosis.CNIConfig{
		{File: "10-a.conflist", Name: "k8s", Types: []string{"calico", "portmap"}, MTU: 1440},
		{File: "20-b.conf", Name: "b", Types: []string{"macvlan"}},
		{File: "30-c.json", Error: "it is no JSON of a CNI configuration"},
		{File: "40-d.conflist", Error: "a plug-in of it has no type"},
		{File: "50-e.conflist", Error: "it names no plug-in"},
		{File: "60-f.conf", Error: "it is no regular file"},
	}}
	got := readCNI([]string{filepath.Join(dir, "none"), empty, dir})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "s3cr3t") || strings.Contains(text, "/secret") {
		t.Errorf("more was kept than names: %s", text)
	}
	if got := readCNI([]string{empty}); got.Error == "" || len(got.Files) > 0 {
		t.Errorf("%+v", got)
	}
	if got := readCNI([]string{filepath.Join(dir, "README")}); !strings.Contains(got.Error, "not a directory") {
		t.Errorf("%+v", got)
	}
}

func TestConntrackStatisticsAreRead(t *testing.T) {
	const stat = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n" +
		"0000002a  00000000 00000000 00000000 00000003 00000000 00000000 00000000 00000000 00000000 0000000f 00000002 00000000  00000000 00000000 00000000 00000000\n" +
		"0000002a  00000000 00000000 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000001 00000001 00000000  00000000 00000000 00000000 00000000\n"
	dropped, early, err := readConntrackStat(strings.NewReader(stat))
	if err != nil || dropped != 16 || early != 3 {
		t.Errorf("%d, %d, %v", dropped, early, err)
	}
	for _, text := range []string{"drop\nxyz\n", strings.Repeat("x", maxStatLine+1)} {
		if _, _, err := readConntrackStat(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

func TestNftVersionsAreRead(t *testing.T) {
	for said, want := range map[string]string{
		"nftables v1.0.6 (Lester Gooch #5)\n": "1.0.6", "nftables v1.1.1 (Commodore Bullmoose #2)": "1.1.1", "nftables v0.9.8 (E.D.S.)": "0.9.8", "nftables": "", "": "",
	} {
		if got := versionOf(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
	if got := firstComplaint("/dev/stdin:1:1-5: Error: syntax error\nx\n^"); got != "syntax error" {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"abcd", "abc", ""} {
		b := &bounded{most: 3}
		n, err := io.Copy(b, iotest.OneByteReader(strings.NewReader(text)))
		if n != int64(len(text)) || err != nil || b.String() != text[:min(3, len(text))] || b.over != (len(text) > 3) {
			t.Errorf("%q: %d, %v, %+v", text, n, err, b)
		}
	}
}

// expression is one of a rule.
func expression(name string, data ...*nl.RtAttr) []byte {
	e := nl.NewRtAttr(1, nil)
	e.AddRtAttr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated(name))
	inner := nl.NewRtAttr(unix.NFTA_EXPR_DATA, nil)
	for _, d := range data {
		inner.AddChild(d)
	}
	e.AddChild(inner)
	return e.Serialize()
}

func big(kind int, n uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.BigEndian.AppendUint32(nil, n))
}

func connmark(mark, mask, packet uint32, mode byte) []byte {
	info := binary.NativeEndian.AppendUint32(nil, mark)
	info = binary.NativeEndian.AppendUint32(info, mask)
	info = append(binary.NativeEndian.AppendUint32(info, packet), mode, 0, 0, 0)
	return expression("target", nl.NewRtAttr(nftaTargetName, nl.ZeroTerminated("CONNMARK")), nl.NewRtAttr(nftaTargetInfo, info))
}

// What the kernel here has no rule for is read all the same.
func TestBitsOfMarksAreRead(t *testing.T) {
	load := expression("ct", big(unix.NFTA_CT_KEY, unix.NFT_CT_MARK), big(unix.NFTA_CT_DREG, 1))
	loadState := expression("ct", big(unix.NFTA_CT_KEY, unix.NFT_CT_STATE), big(unix.NFTA_CT_DREG, 1))
	store := expression("ct", big(unix.NFTA_CT_KEY, unix.NFT_CT_MARK), big(unix.NFTA_CT_SREG, 1))
	value := func(kind int, n uint32) *nl.RtAttr {
		a := nl.NewRtAttr(kind, nil)
		a.AddRtAttr(unix.NFTA_DATA_VALUE, binary.NativeEndian.AppendUint32(nil, n))
		return a
	}
	keep := func(mask, xor uint32) []byte {
		return expression("bitwise", value(unix.NFTA_BITWISE_MASK, mask), value(unix.NFTA_BITWISE_XOR, xor))
	}
	for what, tt := range map[string]struct {
		rule []byte
		want uint32
	}{
		"set ct mark & ~0x80 | 0x80": {join(load, keep(^uint32(0x80), 0x80), store), 0x80},
		"two steps":                  {join(load, keep(^uint32(0x80), 0), keep(allBits, 0x100), store), 0x180},
		"set a number":               {join(expression("immediate", big(unix.NFTA_IMMEDIATE_DREG, 1)), store), allBits},
		"set from the packet's":      {join(expression("meta", big(1, 1)), keep(0xff, 0), store), allBits},
		"set from another key":       {join(loadState, keep(0xff, 0), store), allBits},
		"shifted":                    {join(load, expression("bitwise"), store), allBits},
		"only a match":               {join(load, keep(0xff, 0), expression("cmp")), 0},
		"CONNMARK --set-xmark":       {connmark(0x80, 0x80, 0, connmarkSet), 0x80},
		"CONNMARK --save-mark":       {connmark(0, 0xf00, 0xf000, connmarkSave), 0xff00},
		"CONNMARK --restore-mark":    {connmark(0, 0xf00, 0xf00, 2), 0},
		"CONNMARK cut short":         {expression("target", nl.NewRtAttr(nftaTargetName, nl.ZeroTerminated("CONNMARK")), nl.NewRtAttr(nftaTargetInfo, []byte{1, 2})), 0},
		"another target":             {expression("target", nl.NewRtAttr(nftaTargetName, nl.ZeroTerminated("MARK")), nl.NewRtAttr(nftaTargetInfo, make([]byte, 16))), 0},
	} {
		if got := markBits(tt.rule); got != tt.want {
			t.Errorf("%s: %#x, want %#x", what, got, tt.want)
		}
	}
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Whatever stands in a file, or comes from a kernel: it is read or refused, and bounded.
func FuzzLookReads(f *testing.F) {
	f.Add([]byte(`{"name":"net","plugins":[{"type":"bridge","mtu":1500}]}`))
	f.Add([]byte("entries drop early_drop\n0a 0b 0c\n"))
	f.Add([]byte("nftables v1.0.6 (Lester Gooch #5)"))
	f.Add(join([]byte{unix.NFPROTO_IPV4, 0, 0, 0}, connmark(1, 2, 3, 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := parseCNI(data)
		if len(c.Types) > maxPlugins || len(c.Name) > 3*maxPluginLen || (c.Error == "") == (len(c.Types) == 0) {
			t.Errorf("%+v", c)
		}
		_, _, _ = readConntrackStat(strings.NewReader(string(data)))
		if v := versionOf(string(data)); len(v) > 30 {
			t.Errorf("%q", v)
		}
		_, _ = markRule(data)
		_, _, _ = interfaceOf(data, nil, nil)
		_ = firstComplaint(string(data))
	})
}
