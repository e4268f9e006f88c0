// Package order sorts slices with less machine code than package slices does.
// Each instantiation of slices.SortFunc adds up to 17 kB to the extension's
// binary, and the sort package is in it already (docs/adr/0010).
package order

import "sort"

// By sorts list by compare, which returns a negative number if a goes before b.
// Equal elements keep their order.
func By[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
