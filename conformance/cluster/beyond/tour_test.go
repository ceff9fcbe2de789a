package beyond

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var updateTour = flag.Bool("update", false, "write into the documents what their commands say, instead of comparing")

// tourPage has commands as a newcomer types them, with what they say.
const tourPage = "docs/tour.md"

// tourNamespace is what the tour makes, and nobody else may have.
const tourNamespace = "shop"

// TestTour types the commands of the tour, one after another, and compares what they say
// with what stands there, but for what differs each time: addresses, names that the
// cluster made up, how long something took.
func TestTour(t *testing.T) {
	w := newWorld(t)
	w.alone()
	namespaces := cluster.client.CoreV1().Namespaces()
	if _, err := namespaces.Get(w.ctx, tourNamespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("the tour makes a namespace %s, and there is one, or it cannot be told: %v", tourNamespace, err)
	}
	t.Cleanup(func() {
		// Its own last command deletes it.
		_ = namespaces.Delete(context.Background(), tourNamespace, metav1.DeleteOptions{})
	})
	root, err := filepath.Abs("../../..")
	w.must("find the documents", err)
	page := filepath.Join(root, tourPage)
	text, err := os.ReadFile(page)
	w.must("read the tour", err)
	shell := newShell(t, w.example(root))
	steps := parseTour(string(text))
	typed := 0
	for i := range steps {
		s := &steps[i]
		if s.command == "" {
			continue
		}
		typed++
		said := shell.enter(s.command)
		for try := 0; !*updateTour && try < 10 && scrub(said) != scrub(s.output) && s.mayCome(); try++ {
			time.Sleep(time.Second)
			said = shell.enter(s.command)
		}
		if *updateTour {
			s.output = said
		} else if scrub(said) != scrub(s.output) {
			t.Errorf("%s says otherwise than %s has it (ARGS=-update writes it anew):\n%s\nthere it says:\n%s", s.command, tourPage, said, s.output)
		}
	}
	if typed < 10 {
		t.Errorf("%s has only %d commands", tourPage, typed)
	}
	if *updateTour {
		var all strings.Builder
		for _, s := range steps {
			s.write(&all)
		}
		w.must("write the tour", os.WriteFile(page, []byte(all.String()), 0o644))
	}
}

// exampleDir is where the manifests of the tour are.
const exampleDir = "conformance/cluster/example"

// example copies these manifests to a directory of the test's, with the image that the
// cluster has.
func (w *world) example(root string) (dir string) {
	w.t.Helper()
	dir = w.t.TempDir()
	w.must("make a directory", os.MkdirAll(filepath.Join(dir, exampleDir), 0o755))
	files, err := filepath.Glob(filepath.Join(root, exampleDir, "*.yaml"))
	w.must("find the manifests", err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		w.must("read a manifest", err)
		text = localImage.ReplaceAll(text, []byte("image: "+*image))
		w.must("write a manifest", os.WriteFile(filepath.Join(dir, exampleDir, filepath.Base(file)), text, 0o600))
	}
	return dir
}

var localImage = regexp.MustCompile(`(?m)image: localhost/\S+$`)

// alone waits until nothing is left of the tests before, which the tour would tell of.
func (w *world) alone() {
	w.t.Helper()
	w.await("namespaces of other tests to be gone", func() error {
		list, err := cluster.client.CoreV1().Namespaces().List(w.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, ns := range list.Items {
			if strings.HasPrefix(ns.Name, "beyond-") && ns.Name != w.ns {
				return fmt.Errorf("there is %s", ns.Name)
			}
		}
		return nil
	})
}

// step is a line of the tour, or a command in it with what it said.
type step struct {
	text            string
	command, output string
}

// mayCome reports whether what a command says may be an instant late: what agents tell of,
// and a Service that kube-proxy has yet to make. What is denied has to be denied at once.
func (s *step) mayCome() bool {
	return strings.HasPrefix(s.command, "sluice ") || s.output == "connected"
}

const (
	indent = "    "
	prompt = indent + "$ "
)

// parseTour finds the commands: an indented line that begins with a dollar sign. What it
// said is indented as well, up to the next command or the end of the block.
func parseTour(page string) []step {
	var steps []step
	in := false
	for line := range strings.Lines(page) {
		switch command, typed := strings.CutPrefix(line, prompt); {
		case typed:
			steps = append(steps, step{command: strings.TrimSuffix(command, "\n")})
			in = true
		case in && strings.HasSuffix(steps[len(steps)-1].command, `\`):
			steps[len(steps)-1].command += "\n" + strings.TrimSuffix(strings.TrimPrefix(line, indent), "\n")
		case in && (strings.HasPrefix(line, indent) || line == "\n"):
			steps[len(steps)-1].output += strings.TrimPrefix(line, indent)
		default:
			in = false
			steps = append(steps, step{text: line})
		}
	}
	for i := range steps {
		steps[i].output = strings.TrimRight(steps[i].output, "\n")
	}
	return steps
}

// write gives a step back as the page has it. A block ends with an empty line.
func (s *step) write(out io.StringWriter) {
	if s.command == "" {
		_, _ = out.WriteString(s.text)
		return
	}
	lines := indent + "$ " + strings.ReplaceAll(s.command, "\n", "\n"+indent) + "\n"
	for line := range strings.Lines(s.output + "\n") {
		if strings.TrimSpace(line) != "" {
			line = indent + line
		}
		lines += line
	}
	_, _ = out.WriteString(strings.TrimRight(lines, "\n") + "\n\n")
}

// changing is what differs each time: names that the cluster makes up, the scheduler's
// choice, addresses, instants, how long something took, how often a client tried.
var changing = []*regexp.Regexp{
	// A node's row of status counts what was before the tour, too.
	regexp.MustCompile(`(?m)\bnode[12] +yes .*$`),
	regexp.MustCompile(`\bnode[12]\b`),
	// As often as kubelets probed.
	regexp.MustCompile(`[0-9]+ flows? (is|are) not counted`),
	regexp.MustCompile(`\b(frontend|api|db)-[0-9a-z]{6,10}-[a-z0-9]{5}\b`),
	regexp.MustCompile(`pod-template-hash=[0-9a-z]+`),
	regexp.MustCompile(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?`),
	regexp.MustCompile(`\b[0-9]{2}:[0-9]{2}:[0-9]{2} +[0-9]+ +[0-9]+ `),
	regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?(ms|s|m|h)([0-9]+(ms|s))?\b`),
	regexp.MustCompile(`\b[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\b`),
	regexp.MustCompile(`\b[0-9a-f]{2,4}:[0-9a-f:]*:[0-9a-f]+\b`),
}

var (
	blanks = regexp.MustCompile(`[ \t]+`)
	// An end has one address, or one of each family.
	several = regexp.MustCompile(`…( …)+`)
)

// scrub leaves of an output what is the same each time. Columns are as wide as what is
// in them, so any blanks count as one.
func scrub(output string) string {
	for _, c := range changing {
		output = c.ReplaceAllString(output, "… ")
	}
	var lines []string
	for line := range strings.Lines(output) {
		line = several.ReplaceAllString(blanks.ReplaceAllString(line, " "), "…")
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// shell is one that commands are typed into.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// newShell starts a shell in a directory, with kubectl and sluice in its path.
func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	path := t.TempDir()
	program, err := exec.LookPath(*kubectl)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"kubectl": program, "sluice": cluster.sluice} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	// As a terminal does, it shows both outputs in one.
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "exec bash 2>&1")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
	in, out := talk(t, cmd)
	return &shell{t: t, in: in, out: bufio.NewReader(out)}
}

// allSaid is what follows the output of each command.
const allSaid = "\x00that was all\n"

// enter runs a command and returns what it said, on both outputs.
func (s *shell) enter(command string) string {
	s.t.Helper()
	s.t.Logf("$ %s", command)
	// It must not read what is typed after it.
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null\nprintf '\\0that was all\\n'\n", command); err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	for !strings.HasSuffix(said.String(), allSaid) {
		line, err := s.out.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			s.t.Fatalf("the shell ended: %v\n%s", err, said.String())
		}
	}
	return strings.TrimRight(strings.TrimSuffix(said.String(), allSaid), "\n")
}
