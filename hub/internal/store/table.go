package store

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The tables, one for each row type of rows.go. A table that is declared here needs no other line: the buckets of the
// file, Empty and the deletion of a cluster's rows are derived from these declarations. doc.go shows the keys.
var (
	Resources     = newTable[Resource]("resources", ofGraph)
	Conditions    = newTable[Condition]("outcomes", ofGraph)
	Sources       = newTable[Fetched]("sources", ofHub)
	Renders       = newTable[Render]("renders", ofHub)
	Plans         = newTable[Plan]("plans", ofPlan)
	Releases      = newTable[Release]("releases", ofPlan)
	Confirmations = newTable[Confirmation]("confirmations", ofHub)
	Repairs       = newTable[Repair]("repairs", ofPlan)
	SignedBundles = newTable[SignedBundle]("desireds", ofSpoke)
	Spokes        = newTable[Spoke]("spokes", ofSpoke)
	Reports       = newTable[Report]("reports", ofGraph)
	JoinTokens    = newTable[JoinToken]("jointokens", ofHub)
	Events        = newTable[Event]("events", ofHub)
	Secrets       = newTable[Secret]("secrets", ofHub)
)

// ResourcesByKind lists the resources of one kind in all clusters; its keys are "Kind/cluster/namespace/name".
//
//	rows, next, err := store.ResourcesByKind.Page(tx, kind+"/", after, 500)
var ResourcesByKind = newIndex(Resources, "resources.bykind", swapKind)

// membership says which rows of a table belong to a cluster, and when they are deleted.
type membership int

const (
	ofHub   membership = iota // none
	ofGraph                   // keys begin with "cluster/"; deleted with the cluster's graph
	ofPlan                    // the key is the cluster's name; deleted with the cluster's graph
	ofSpoke                   // the key is the cluster's name; deleted with the Cluster
)

// layoutTable is one table as the engines know it.
type layoutTable struct {
	name    string
	of      membership
	indexes []layoutIndex
}

// layoutIndex lists the keys of a table in another order. swap turns a key of the table into one of the index, and
// back.
type layoutIndex struct {
	name string
	swap func(key string) string
}

// tables are all tables but the indexes and the blobs, in the order of their declaration.
var tables []*layoutTable

// names returns the name of every bucket that holds rows, indexes or blobs.
func names() []string {
	all := []string{blobTable}
	for _, t := range tables {
		all = append(all, t.name)
		for _, i := range t.indexes {
			all = append(all, i.name)
		}
	}
	return all
}

// Table is rows of one type under string keys. Rows are JSON on disk; a method returns copies.
type Table[T any] struct{ *layoutTable }

func newTable[T any](name string, of membership) Table[T] {
	t := &layoutTable{name: name, of: of}
	tables = append(tables, t)
	return Table[T]{t}
}

// Name is what Watch and Change call the table.
func (t Table[T]) Name() string { return t.name }

// Get returns the row under the key; false when there is none.
func (t Table[T]) Get(tx *Tx, key string) (T, bool, error) {
	var row T
	value, err := tx.get(t.name, key)
	if err != nil || value == nil {
		return row, false, t.wrap("get", key, err)
	}
	if err := json.Unmarshal(value, &row); err != nil {
		return row, false, t.wrap("decode", key, err)
	}
	return row, true, nil
}

// Put writes the row under the key. A row equal to the one that is there changes nothing and wakes nobody.
func (t Table[T]) Put(tx *Tx, key string, row T) error {
	value, err := encode(row)
	if err != nil {
		return t.wrap("encode", key, err)
	}
	return t.wrap("put", key, tx.put(t.name, key, value))
}

// encode returns a row as JSON. Unlike json.Marshal it keeps <, > and & as they are, so that an api.Object is read with
// the bytes and the digest that it was admitted with.
func encode(row any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(row)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Delete removes the row under the key. There may be none.
func (t Table[T]) Delete(tx *Tx, key string) error {
	return t.wrap("delete", key, tx.delete(t.name, key))
}

// Scan calls fn for each row whose key has the prefix, in the order of the keys, until fn returns an error, which it
// returns. fn may write, also to this table; it then sees the rows that were there when the scan began and still are.
func (t Table[T]) Scan(tx *Tx, prefix string, fn func(key string, row T) error) error {
	return tx.scan(t.name, prefix, func(key string, value []byte) error {
		var row T
		if err := json.Unmarshal(value, &row); err != nil {
			return t.wrap("decode", key, err)
		}
		return fn(key, row)
	})
}

// Row is a row of a table and its key.
type Row[T any] struct {
	Key   string
	Value T
}

// Page returns at most limit rows whose keys have the prefix and come after the key after, in the order of the keys.
// Pass next as after to read the next page; next is empty if no rows are left. Each page may be read in a View of its
// own: a long list then holds no transaction open.
func (t Table[T]) Page(tx *Tx, prefix, after string, limit int) (rows []Row[T], next string, err error) {
	err = tx.page(t.name, prefix, after, limit+1, func(key string, value []byte) error {
		if len(rows) == limit {
			next = rows[limit-1].Key
			return nil
		}
		row := Row[T]{Key: key}
		if err := json.Unmarshal(value, &row.Value); err != nil {
			return t.wrap("decode", key, err)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, next, err
}

// Sizes calls fn for each row whose key has the prefix, in the order of the keys, with the length of the row on disk,
// until fn returns an error, which it returns. No row is read.
func (t Table[T]) Sizes(tx *Tx, prefix string, fn func(key string, bytes int) error) error {
	return tx.scan(t.name, prefix, func(key string, value []byte) error { return fn(key, len(value)) })
}

func (t Table[T]) wrap(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s/%s in the store: %w", verb, t.name, key, err)
}
