package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The tables, one for each row type of rows.go. A table that is declared here needs no other line: the buckets of the
// file, Empty and the deletion of a cluster's rows are derived from these declarations. doc.go shows the keys. The
// names outcomes and desireds are the old ones of Conditions and SignedBundles, kept for the files of earlier versions.
var (
	Resources     = newTable[Resource]("resources", ofGraph)
	Conditions    = newTable[Condition]("outcomes", ofGraph)
	Sources       = newTable[Fetched]("sources", ofHub)
	Renders       = newTable[Render]("renders", ofHub)
	Plans         = newTable[Plan]("plans", ofPlan)
	Releases      = newTable[Release]("releases", ofPlan)
	Refusals      = newTable[Refusal]("refusals", ofPlan)
	History       = newTable[Past]("history", ofGraph)
	Pins          = newTable[Pin]("pins", ofSpoke)
	Confirmations = newTable[Confirmation]("confirmations", ofHub)
	Repairs       = newTable[Repair]("repairs", ofPlan)
	Upgrades      = newTable[Upgrade]("upgrades", ofPlan)
	Rollouts      = newTable[Rollout]("rollouts", ofHub)
	Turns         = newTable[Turn]("turns", ofGraph)
	SignedBundles = newTable[SignedBundle]("desireds", ofSpoke)
	Spokes        = newTable[Spoke]("spokes", ofSpoke)
	Reports       = newTable[Report]("reports", ofGraph)
	Shapes        = newTable[Shape]("shapes", ofGraph)
	JoinTokens    = newTable[JoinToken]("jointokens", ofHub)
	Events        = newTable[Event]("events", ofHub)
	Secrets       = newTable[Secret]("secrets", ofHub)
	SigningKeys   = newTable[KeyStatement]("signingkeys", ofHub)
)

// ResourcesByKind lists the resources of one kind in all clusters; its keys are "Kind/cluster/namespace/name".
//
//	rows, next, err := store.ResourcesByKind.Page(tx, kind+"/", after, 500)
var ResourcesByKind = newIndex(Resources, "resources.bykind", swapKind)

// membership says which rows of a table belong to a cluster, and when they are deleted.
type membership int

const (
	ofHub   membership = iota // none
	ofGraph                   // keys begin with OfCluster; deleted with the cluster's graph
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

// Row is a row of a table and its key.
type Row[T any] struct {
	Key   string
	Value T
}

// List is the rows of a table in one order: that of their keys, or that of an index. Prefixes and the keys after which
// a page begins are of this order; the keys of rows are those of the table.
type List[T any] struct {
	name string // of the bucket
	read func(tx *Tx, at string, value []byte) (Row[T], error)
	swap func(at string) string // returns the key of the row; nil: it is at
}

// Scan calls fn for each row with the prefix, in order, until fn returns an error, which Scan returns. fn may write,
// also to this table; fn then gets the rows that existed when the scan began and still exist.
func (l List[T]) Scan(tx *Tx, prefix string, fn func(key string, row T) error) error {
	return l.ScanApart(tx, prefix, fn, func(_ string, err error) error { return err })
}

// ScanApart is Scan for a loop that must go on when one row is damaged: damaged gets the key of such a row and its
// error, which is ErrDamaged.
func (l List[T]) ScanApart(tx *Tx, prefix string, fn func(key string, row T) error,
	damaged func(key string, err error) error) error {
	return tx.scan(l.name, prefix, func(at string, value []byte) error {
		row, err := l.read(tx, at, value)
		switch {
		case errors.Is(err, ErrDamaged):
			return damaged(row.Key, err)
		case err != nil:
			return err
		}
		return fn(row.Key, row.Value)
	})
}

// Page returns at most limit rows that have the prefix and come after the key after, in order. Pass next as after to
// read the next page; next is empty if no rows are left. Each page may be read in a View of its own: a long list then
// holds no transaction open.
func (l List[T]) Page(tx *Tx, prefix, after string, limit int) (rows []Row[T], next string, err error) {
	return l.page(tx, prefix, after, limit, func(err error) error { return err })
}

// PageIntact is Page without the rows that are damaged.
func (l List[T]) PageIntact(tx *Tx, prefix, after string, limit int) (rows []Row[T], next string, err error) {
	damaged := map[int]bool{}
	n := 0
	rows, next, err = l.page(tx, prefix, after, limit, func(err error) error {
		if damaged[n] = errors.Is(err, ErrDamaged); damaged[n] {
			err = nil
		}
		n++
		return err
	})
	n = 0
	return slices.DeleteFunc(rows, func(Row[T]) bool { n++; return damaged[n-1] }), next, err
}

// PageKeys is Page for a caller that wants the keys only. PageKeys reads no row, so that it returns the keys of damaged
// ones, too.
func (l List[T]) PageKeys(tx *Tx, prefix, after string, limit int) (keys []string, next string, err error) {
	rows, next, err := l.pageOf(tx, prefix, after, limit, func(at string, _ []byte) (Row[T], error) {
		if l.swap != nil {
			at = l.swap(at)
		}
		return Row[T]{Key: at}, nil
	})
	for _, row := range rows {
		keys = append(keys, row.Key)
	}
	return keys, next, err
}

// ignoreDamaged returns nil for ErrDamaged, and any other error as it is.
func ignoreDamaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

func (l List[T]) page(tx *Tx, prefix, after string, limit int, judge func(error) error) (rows []Row[T], next string,
	err error) {
	return l.pageOf(tx, prefix, after, limit, func(at string, value []byte) (Row[T], error) {
		row, err := l.read(tx, at, value)
		return row, judge(err)
	})
}

func (l List[T]) pageOf(tx *Tx, prefix, after string, limit int,
	read func(at string, value []byte) (Row[T], error)) (rows []Row[T], next string, err error) {
	if tx.engine == nil {
		return nil, "", ErrClosed
	}
	last := ""
	err = tx.engine.scan(l.name, prefix, after, func(at string, value []byte) error {
		if len(rows) == limit {
			next = last
			return errEnough
		}
		row, err := read(at, value)
		rows, last = append(rows, row), at
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return rows, next, err
}

// Table is rows of one type under string keys. Rows are JSON on disk; a method returns copies. Its List has the order
// of the keys.
type Table[T any] struct {
	List[T]
	layout *layoutTable
}

func newTable[T any](name string, of membership) Table[T] {
	t := Table[T]{List[T]{name: name}, &layoutTable{name: name, of: of}}
	t.read = func(_ *Tx, key string, value []byte) (Row[T], error) {
		row := Row[T]{Key: key}
		err := json.Unmarshal(value, &row.Value)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return row, t.wrap("decode", key, err)
	}
	tables = append(tables, t.layout)
	return t
}

// Name returns the name of the table, as in Watch and Change.
func (t Table[T]) Name() string { return t.name }

// Get returns the row under the key; false if there is none. If the row cannot be decoded, the error is ErrDamaged.
func (t Table[T]) Get(tx *Tx, key string) (row T, ok bool, err error) {
	value, err := tx.get(t.name, key)
	if err != nil || value == nil {
		return row, false, t.wrap("get", key, err)
	}
	read, err := t.read(tx, key, value)
	return read.Value, err == nil, err
}

// GetIntact is Get for a row that can do without: a damaged row counts as missing.
func (t Table[T]) GetIntact(tx *Tx, key string) (row T, ok bool, err error) {
	if row, ok, err = t.Get(tx, key); errors.Is(err, ErrDamaged) {
		var none T
		return none, false, nil
	}
	return row, ok, err
}

// Bytes returns the row under the key as it is stored, until the transaction ends; nil if there is none. Equal rows
// have equal bytes.
func (t Table[T]) Bytes(tx *Tx, key string) ([]byte, error) { return tx.get(t.name, key) }

// Put writes the row under the key. If the row is equal to the one that is there, Put changes nothing and wakes nobody.
func (t Table[T]) Put(tx *Tx, key string, row T) error {
	value, err := encode(row)
	if err != nil {
		return t.wrap("encode", key, err)
	}
	return t.wrap("put", key, tx.write(t.layout, key, value))
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

// Delete removes the row under the key, if there is one.
func (t Table[T]) Delete(tx *Tx, key string) error {
	return t.wrap("delete", key, tx.write(t.layout, key, nil))
}

// Sizes calls fn for each row whose key has the prefix, in the order of the keys, with the length of the row on disk in
// bytes, until fn returns an error, which Sizes returns. Sizes decodes no row.
func (t Table[T]) Sizes(tx *Tx, prefix string, fn func(key string, bytes int) error) error {
	return tx.scan(t.name, prefix, func(key string, value []byte) error { return fn(key, len(value)) })
}

func (t Table[T]) wrap(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s/%s in the store: %w", verb, t.name, key, err)
}
