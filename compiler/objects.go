package compiler

// object is a named object of the table that comes and goes with what refers
// to it. One of chain, set and counter is set.
type object struct {
	name string
	refs int
	// uses are the objects that it refers to itself.
	uses    []*object
	chain   *Chain
	set     *Set
	counter bool
	// members is what a set holds that follows groups; the elements of others
	// stand in set and never change.
	members *memberSet
}

// declared is the set with its elements as they are.
func (o *object) declared() Set {
	out := *o.set
	out.Elements = o.elements()
	return out
}

// elements are those of a set as they are, in any order.
func (o *object) elements() []Element {
	if o.members != nil {
		return o.members.elements()
	}
	return o.set.Elements
}

// take counts one more reference to the object that made describes, which it
// keeps if there is none of that name yet. The name is a hash of the content,
// so an object of the same name is the same.
func (u *update) take(made *object) *object {
	o := u.c.objects[made.name]
	if o == nil {
		o = made
		u.c.objects[o.name] = o
		u.born[o.name] = o
		if o.members != nil {
			o.members.fill(u.x)
			for _, g := range o.members.groups {
				users := u.c.users[g]
				if users == nil {
					users = map[*object]struct{}{}
					u.c.users[g] = users
				}
				users[o] = struct{}{}
			}
		}
	} else {
		for _, used := range made.uses {
			u.drop(used)
		}
	}
	o.refs++
	return o
}

// drop counts one reference less. What a change needs is taken before what it
// gives up is dropped, so nothing goes and comes back in one update.
func (u *update) drop(o *object) {
	if o.refs--; o.refs > 0 {
		return
	}
	delete(u.c.objects, o.name)
	if u.born[o.name] == o {
		delete(u.born, o.name)
	} else {
		u.died[o.name] = o
	}
	if o.members != nil {
		for _, g := range o.members.groups {
			users := u.c.users[g]
			if delete(users, o); len(users) == 0 {
				delete(u.c.users, g)
			}
		}
	}
	for _, used := range o.uses {
		u.drop(used)
	}
}
