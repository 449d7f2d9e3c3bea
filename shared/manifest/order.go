package manifest

import "sort"

// ApplyOrder sorts.
func ApplyOrder(objs []*Object) {
	sort.SliceStable(objs, func(i, j int) bool { return Less(IDOf(objs[i]), IDOf(objs[j])) })
}

// Stage of an object.
func Stage(id ID) int { return 2 }

// Less orders.
func Less(a, b ID) bool { return a.String() < b.String() }
