package store

import (
	"context"
	"fmt"
	"strings"
)

// Index lists the rows of a table in another order. The store keeps it in the transactions that write the rows.
type Index[T any] struct {
	table Table[T]
	layoutIndex
}

func newIndex[T any](t Table[T], name string, swap func(string) string) Index[T] {
	i := layoutIndex{name: name, swap: swap}
	t.indexes = append(t.indexes, i)
	return Index[T]{table: t, layoutIndex: i}
}

// swapKind turns the path of a key, "cluster/Kind/namespace/name", into "Kind/cluster/namespace/name", and back.
func swapKind(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	second, rest, _ := strings.Cut(rest, "/")
	return second + "/" + first + "/" + rest
}

// Scan calls fn for each row whose key in the index has the prefix, in the order of the index, until fn returns an
// error, which Scan returns. key is that of the table. fn may write, as in Table.Scan.
func (i Index[T]) Scan(tx *Tx, prefix string, fn func(key string, row T) error) error {
	return tx.scan(i.name, prefix, func(at string, _ []byte) error {
		row, err := i.row(tx, at)
		if err != nil {
			return err
		}
		return fn(row.Key, row.Value)
	})
}

// Page is Table.Page in the order of the index: prefix, after and next are of the index, the keys of rows of the table.
func (i Index[T]) Page(tx *Tx, prefix, after string, limit int) (rows []Row[T], next string, err error) {
	err = tx.page(i.name, prefix, after, limit+1, func(at string, _ []byte) error {
		if len(rows) == limit {
			next = i.swap(rows[limit-1].Key)
			return nil
		}
		row, err := i.row(tx, at)
		rows = append(rows, row)
		return err
	})
	return rows, next, err
}

// row returns the row that the index lists under a key.
func (i Index[T]) row(tx *Tx, at string) (row Row[T], err error) {
	row.Key = i.swap(at)
	var ok bool
	if row.Value, ok, err = i.table.Get(tx, row.Key); err == nil && !ok {
		err = fmt.Errorf("index %s of the store names %s: %w", i.name, row.Key, ErrDamaged)
	}
	return row, err
}

// indexed is the value of every key of an index.
var indexed = []byte{1}

// indexesOf returns the indexes of a table.
func indexesOf(table string) []layoutIndex {
	for _, t := range tables {
		if t.name == table {
			return t.indexes
		}
	}
	return nil
}

func putIndexes(t engineTx, table, key string) error {
	for _, i := range indexesOf(table) {
		if err := t.put(i.name, i.swap(key), indexed); err != nil {
			return err
		}
	}
	return nil
}

func deleteIndexes(t engineTx, table, key string) error {
	for _, i := range indexesOf(table) {
		if err := t.delete(i.name, i.swap(key)); err != nil {
			return err
		}
	}
	return nil
}

// reindex makes the indexes agree with the tables: a file that a hub without them wrote last has none, or old ones.
func reindex(ctx context.Context, e engine) error {
	t, err := e.begin(ctx, true)
	if err != nil {
		return err
	}
	defer t.rollback()
	changed := false
	for _, table := range tables {
		for _, i := range table.indexes {
			mended, err := mend(t, table.name, i)
			if err != nil {
				return fmt.Errorf("index %s: %w", i.name, err)
			}
			changed = changed || mended
		}
	}
	if !changed {
		return nil
	}
	return t.commit()
}

// mend makes one index agree with its table, and reports whether it did not.
func mend(t engineTx, table string, i layoutIndex) (bool, error) {
	missing, stale := map[string]bool{}, []string{}
	err := t.scan(table, "", "", func(key string, _ []byte) error {
		missing[i.swap(key)] = true
		return nil
	})
	if err != nil {
		return false, err
	}
	err = t.scan(i.name, "", "", func(key string, _ []byte) error {
		if !missing[key] {
			stale = append(stale, key)
		}
		delete(missing, key)
		return nil
	})
	for _, key := range stale {
		if err == nil {
			err = t.delete(i.name, key)
		}
	}
	for key := range missing {
		if err == nil {
			err = t.put(i.name, key, indexed)
		}
	}
	return len(missing)+len(stale) > 0, err
}
