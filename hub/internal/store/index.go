package store

import (
	"fmt"
	"slices"
	"strings"
)

// newIndex returns the rows of a table in another order. The store keeps the index in the transactions that write the
// rows.
func newIndex[T any](t Table[T], name string, swap func(string) string) List[T] {
	t.layout.indexes = append(t.layout.indexes, layoutIndex{name: name, swap: swap})
	return List[T]{name: name, swap: swap, read: func(tx *Tx, at string, _ []byte) (Row[T], error) {
		row, ok, err := t.Get(tx, swap(at))
		if err == nil && !ok {
			err = fmt.Errorf("index %s of the store names %s: %w", name, swap(at), ErrDamaged)
		}
		return Row[T]{swap(at), row}, err
	}}
}

// swapKind turns the path of a key, "cluster/Kind/namespace/name", into "Kind/cluster/namespace/name", and back.
func swapKind(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	second, rest, _ := strings.Cut(rest, "/")
	return second + "/" + first + "/" + rest
}

// indexed is the value of every key of an index.
var indexed = []byte{1}

// reindex makes the indexes agree with the tables: if a hub without them wrote the file last, they are missing or old.
func reindex(t engineTx) error {
	for _, table := range tables {
		for _, i := range table.indexes {
			if err := mend(t, table.name, i); err != nil {
				return fmt.Errorf("index %s: %w", i.name, err)
			}
		}
	}
	if err := mendEvents(t); err != nil {
		return fmt.Errorf("index %s: %w", eventIndex.name, err)
	}
	return nil
}

// mend makes one index agree with its table.
func mend(t engineTx, table string, i layoutIndex) error {
	want, err := keysOf(t, table, "")
	if err != nil {
		return err
	}
	for n, key := range want {
		want[n] = i.swap(key)
	}
	_, err = replace(t, i.name, want, indexed)
	return err
}

// replace makes an index have these keys and reports whether the index had others.
func replace(t engineTx, index string, want []string, value []byte) (changed bool, err error) {
	slices.Sort(want)
	have, err := keysOf(t, index, "")
	if err != nil || slices.Equal(have, want) {
		return false, err
	}
	for _, key := range have {
		if err := t.put(index, key, nil); err != nil {
			return false, err
		}
	}
	for _, key := range want {
		if err := t.put(index, key, value); err != nil {
			return false, err
		}
	}
	return true, nil
}
