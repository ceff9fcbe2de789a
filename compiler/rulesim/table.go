package rulesim

import (
	"fmt"
	"slices"
	"strings"
)

// counter is a named counter.
type counter struct {
	refs
	name    string
	packets int
}

// chain is a base chain if it has a hook.
type chain struct {
	refs
	name     string
	hook     Hook
	device   string
	priority int
	drop     bool
	declared string
	rules    []*rule
}

// rule is a compiled rule and the text it was made of.
type rule struct {
	text  string
	exprs []expr
	// holds are all the objects it refers to, also out of its anonymous maps.
	holds []*refs
	sets  []*set
	jumps []*chain
}

func (r *rule) hold(n int) {
	for _, o := range r.holds {
		o.n += n
	}
}

// table is a table of the inet or the netdev family.
type table struct {
	family, name string
	chains       map[string]*chain
	sets         map[string]*set
	counters     map[string]*counter
}

// Kernel is the nftables state of one network namespace. It is not safe for
// concurrent use.
type Kernel struct {
	tables map[string]*table
	bases  []*chain
	undo   []func()
}

// NewKernel makes a Kernel with no tables.
func NewKernel() *Kernel { return &Kernel{tables: map[string]*table{}} }

// Load makes a Kernel from nft's input.
func Load(text string) (*Kernel, error) {
	k := NewKernel()
	return k, k.Run(text)
}

// Run applies nft's input as one transaction: whole, or not at all.
func (k *Kernel) Run(text string) error {
	commands, err := parse(text)
	if err != nil {
		return err
	}
	k.undo = nil
	for _, c := range commands {
		if err := k.execute(c); err != nil {
			k.rollback()
			return fmt.Errorf("line %d: %s: %w", c.line, c, err)
		}
	}
	if err := k.validate(); err != nil {
		k.rollback()
		return err
	}
	k.undo = nil
	return nil
}

func (k *Kernel) rollback() {
	for _, f := range slices.Backward(k.undo) {
		f()
	}
	k.undo = nil
}

// did records how to take back what was just done.
func (k *Kernel) did(undo func()) { k.undo = append(k.undo, undo) }

func (k *Kernel) table(c command) (*table, error) {
	t := k.tables[c.family+" "+c.table]
	if t == nil {
		return nil, fmt.Errorf("table %s %s: %w", c.family, c.table, ErrNotFound)
	}
	return t, nil
}

// maxNesting is NFT_JUMP_STACK_SIZE: a base chain is on level 0.
const maxNesting = 16

// validate finds the base chains and refuses loops and nesting that is too
// deep, jumps and gotos alike, as the kernel does at the end of a transaction.
func (k *Kernel) validate() error {
	k.bases = k.bases[:0]
	height := map[*chain]int{}
	for _, t := range k.tables {
		for _, c := range t.chains {
			if c.hook == "" {
				continue
			}
			k.bases = append(k.bases, c)
			h, err := nesting(c, height, nil)
			if err != nil {
				return err
			}
			if h >= maxNesting {
				return fmt.Errorf("chain %s is %d levels high: %w", c.name, h, ErrLinks)
			}
		}
	}
	slices.SortFunc(k.bases, func(a, b *chain) int {
		if a.priority != b.priority {
			return a.priority - b.priority
		}
		return strings.Compare(a.name, b.name)
	})
	return nil
}

// nesting is the number of levels below c.
func nesting(c *chain, height map[*chain]int, path []*chain) (int, error) {
	if slices.Contains(path, c) {
		return 0, fmt.Errorf("chain %s leads back to itself: %w", c.name, ErrLinks)
	}
	if h, known := height[c]; known {
		return h, nil
	}
	path = append(path, c)
	highest := 0
	visit := func(to *chain) error {
		if to == nil {
			return nil
		}
		if to.hook != "" {
			return fmt.Errorf("jump to base chain %s", to.name)
		}
		h, err := nesting(to, height, path)
		highest = max(highest, h+1)
		return err
	}
	for _, r := range c.rules {
		for _, to := range r.jumps {
			if err := visit(to); err != nil {
				return 0, err
			}
		}
		for _, s := range r.sets {
			if s.data != verdictData {
				continue
			}
			for _, e := range s.all() {
				if err := visit(e.verdict.chain); err != nil {
					return 0, err
				}
			}
		}
	}
	height[c] = highest
	return highest, nil
}
