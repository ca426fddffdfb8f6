package bench

import "slices"

// spread is the least, the median and the greatest of values, of which there is at least one. The order of values is
// kept.
func spread(values []float64) (low, median, high float64) {
	v := slices.Clone(values)
	slices.Sort(v)
	return v[0], v[len(v)/2], v[len(v)-1]
}
