package compiler

// fixedSet is a set with a name of its own and its elements by key.
type fixedSet struct {
	Set
	values map[Key]MapValue
}

// newFixedSets makes the sets of a table that policies do not make or delete.
func newFixedSets(declared []Set) map[string]*fixedSet {
	out := make(map[string]*fixedSet, len(declared))
	for _, s := range declared {
		values := make(map[Key]MapValue, len(s.Elements))
		for _, e := range s.Elements {
			values[e.Key] = e.Value
		}
		s.Elements = nil
		out[s.Name] = &fixedSet{s, values}
	}
	return out
}

// former is what an element was before.
type former struct {
	there bool
	value MapValue
}

// journal changes fixed sets and notes what was there before, so that the plan is
// the net difference.
type journal struct {
	sets    map[string]*fixedSet
	touched map[string]map[Key]former
}

func newJournal(sets map[string]*fixedSet) journal {
	return journal{sets, map[string]map[Key]former{}}
}

func (j *journal) set(name string, key Key, value MapValue) {
	s := j.sets[name]
	was, there := s.values[key]
	if there && was == value {
		return
	}
	j.note(name, key, former{there, was})
	s.values[key] = value
}

func (j *journal) unset(name string, key Key) {
	s := j.sets[name]
	if was, there := s.values[key]; there {
		j.note(name, key, former{true, was})
		delete(s.values, key)
	}
}

func (j *journal) note(name string, key Key, was former) {
	touched := j.touched[name]
	if touched == nil {
		touched = map[Key]former{}
		j.touched[name] = touched
	}
	if _, known := touched[key]; !known {
		touched[key] = was
	}
}

// only makes a set hold these keys and no other.
func (j *journal) only(name string, keys map[Key]bool) {
	for key := range j.sets[name].values {
		if !keys[key] {
			j.unset(name, key)
		}
	}
	for key := range keys {
		j.set(name, key, MapValue{})
	}
}

// changes adds the net change of the elements.
func (j *journal) changes(to *elementChanges) {
	for name, touched := range j.touched {
		s := j.sets[name]
		for key, was := range touched {
			value, there := s.values[key]
			to.add(&s.Set, key, was, former{there, value})
		}
	}
}
