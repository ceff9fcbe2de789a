package diagnosis

import (
	"fmt"
	"net/url"
	"strconv"
)

// Query asks an agent to look at its node.
type Query struct {
	// Ruleset: our own tables as well.
	Ruleset bool
}

// Values is the query in a URL.
func (q Query) Values() url.Values {
	v := url.Values{}
	if q.Ruleset {
		v.Set("ruleset", "true")
	}
	return v
}

// ParseQuery is the inverse of [Query.Values]. It refuses what it does not know, so that
// nobody takes an answer to another question for one to theirs.
func ParseQuery(v url.Values) (q Query, err error) {
	for key, list := range v {
		if key != "ruleset" || len(list) != 1 {
			return Query{}, fmt.Errorf("read query: there is no %.40q, or it is there %d times", key, len(list))
		}
		if q.Ruleset, err = strconv.ParseBool(list[0]); err != nil {
			return Query{}, fmt.Errorf("read query: %s: %.40q is neither true nor false", key, list[0])
		}
	}
	return q, nil
}
