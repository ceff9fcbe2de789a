package detect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// conntrack reads how full the table of connections is. There are no files where the
// module is not loaded.
func (l Look) conntrack(f *diagnosis.Facts) error {
	err := l.NS.Do(func() error {
		count, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return err
		}
		most, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
		if err != nil {
			return err
		}
		f.Conntrack = &diagnosis.Conntrack{Count: count, Max: most}
		file, err := os.Open("/proc/thread-self/net/stat/nf_conntrack")
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		f.Conntrack.Dropped, f.Conntrack.Early, err = readConntrackStat(file)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the size of the conntrack table: %w", err)
	}
	return nil
}

// readNumber reads a file of /proc/sys that holds one.
func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return n, nil
}

// maxStatLine bounds a line of the statistics: the kernel's have some hundred bytes.
const maxStatLine = 1 << 16

// readConntrackStat adds up the columns "drop" and "early_drop" of all processors. Numbers
// are hexadecimal (ct_cpu_seq_show of net/netfilter/nf_conntrack_standalone.c).
func readConntrackStat(r io.Reader) (dropped, early uint64, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxStatLine)
	var names []string
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if names == nil {
			names = words
			continue
		}
		for i, word := range words {
			if i >= len(names) || names[i] != "drop" && names[i] != "early_drop" {
				continue
			}
			n, err := strconv.ParseUint(word, 16, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("read the statistics of conntrack: %q is no number", word)
			}
			if names[i] == "drop" {
				dropped += n
			} else {
				early += n
			}
		}
	}
	if err := lines.Err(); err != nil {
		return 0, 0, fmt.Errorf("read the statistics of conntrack: %w", err)
	}
	return dropped, early, nil
}
