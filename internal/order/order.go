// Package order sorts as package slices does, for what is sorted now and then.
// Each instantiation of slices.SortFunc takes up to 17 kB of the extension's
// binary, and the sort package is in it already (docs/adr/0010).
package order

import "sort"

// By sorts list by compare, which returns a negative number where a goes before
// b. What is equal keeps its order.
func By[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
