// Package spelling says how far one word is from another, for messages that guess what was
// meant.
package spelling

// longest bounds the words that are compared: it costs the product of their lengths.
const longest = 100

// Distance counts the bytes to insert, remove, change or swap with their neighbour that
// make one word of another; more than limit is limit + 1, and so is what is too long to be
// compared.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || max(len(a), len(b)) > longest {
		return limit + 1
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		least := next[0]
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
			least = min(least, next[j+1])
		}
		// A swap reaches back over one row: from beyond limit + 1 none comes back.
		if least > limit+1 {
			return limit + 1
		}
		before, row, next = row, next, before
	}
	return min(row[len(b)], limit+1)
}
