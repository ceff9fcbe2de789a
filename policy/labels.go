package policy

// labels are those of a namespace, or of the Pods of a class.
type labels interface {
	value(key string) (value string, ok bool)
	each(visit func(key, value string))
}

// labelList is in no order, each key once.
type labelList []label

func listLabels(m map[string]string) labelList {
	out := make(labelList, 0, len(m))
	for k, v := range m {
		out = append(out, label{k, v})
	}
	return out
}

func (l labelList) value(key string) (string, bool) {
	for i := range l {
		if l[i].key == key {
			return l[i].value, true
		}
	}
	return "", false
}

func (l labelList) each(visit func(key, value string)) {
	for i := range l {
		visit(l[i].key, l[i].value)
	}
}

// same reports whether these are the labels in the list.
func (l labelList) same(m map[string]string) bool {
	if len(l) != len(m) {
		return false
	}
	for i := range l {
		if v, ok := m[l[i].key]; !ok || v != l[i].value {
			return false
		}
	}
	return true
}

// A class has its labels where it is posted, and nowhere else.
func (c *class) value(key string) (string, bool) {
	for i := range c.places {
		if u := c.places[i].in.use; u.key.text == key {
			return u.value, true
		}
	}
	return "", false
}

func (c *class) each(visit func(key, value string)) {
	for i := range c.places {
		u := c.places[i].in.use
		visit(u.key.text, u.value)
	}
}

// has reports whether these are the labels of the class.
func (c *class) has(labels map[string]string) bool {
	if len(labels) != len(c.places) {
		return false
	}
	for i := range c.places {
		u := c.places[i].in.use
		if v, ok := labels[u.key.text]; !ok || v != u.value {
			return false
		}
	}
	return true
}

// labelMap is the labels of the class as Pods show them.
func (c *class) labelMap() map[string]string {
	if len(c.places) == 0 {
		return nil
	}
	out := make(map[string]string, len(c.places))
	c.each(func(k, v string) { out[k] = v })
	return out
}

// labelKey is the one copy of a key, with the labels that have it.
type labelKey struct {
	text   string
	values map[string]*labelUse
}

// labelUse is the postings of one label, sorted by namespace. It also keeps
// the one copy of the label's value.
type labelUse struct {
	key      *labelKey
	value    string
	postings []*posting
}

// label is nil where no Pod has the label.
func (x *Index) label(key, value string) *labelUse {
	if k := x.labels[key]; k != nil {
		return k.values[value]
	}
	return nil
}

// useOf takes the label into use.
func (x *Index) useOf(key, value string) *labelUse {
	k := x.labels[key]
	if k == nil {
		k = &labelKey{text: key, values: map[string]*labelUse{}}
		x.labels[key] = k
	}
	u := k.values[value]
	if u == nil {
		u = &labelUse{key: k, value: value}
		k.values[value] = u
	}
	return u
}

// disuseLabel forgets a label that no Pod has any more.
func (x *Index) disuseLabel(u *labelUse) {
	if delete(u.key.values, u.value); len(u.key.values) == 0 {
		delete(x.labels, u.key.text)
	}
}
