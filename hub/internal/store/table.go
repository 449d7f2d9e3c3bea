package store

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Tx is one transaction. It is used by one goroutine, and only until the function it was given to returns.
type Tx struct {
	engine engineTx          // nil: over
	before map[Change][]byte // what each written row was before, nil for none; the map is nil in a View
}

// end makes the transaction unusable. What was not committed is undone.
func (tx *Tx) end() {
	tx.engine.rollback()
	tx.engine = nil
}

// changes are the rows that are not what they were before the transaction.
func (tx *Tx) changes() ([]Change, error) {
	var changed []Change
	for c, old := range tx.before {
		now, err := tx.engine.get(c.Table, c.Key)
		if err != nil {
			return nil, err
		}
		if (now == nil) != (old == nil) || !bytes.Equal(now, old) {
			changed = append(changed, c)
		}
	}
	return changed, nil
}

func (tx *Tx) get(table, key string) ([]byte, error) {
	if tx.engine == nil {
		return nil, ErrClosed
	}
	return tx.engine.get(table, key)
}

// put writes a row unless it is equal already.
func (tx *Tx) put(table, key string, value []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	old, err := tx.engine.get(table, key)
	if err != nil || old != nil && bytes.Equal(old, value) {
		return err
	}
	tx.remember(table, key, old)
	return tx.engine.put(table, key, value)
}

// delete removes a row if it is there.
func (tx *Tx) delete(table, key string) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	old, err := tx.engine.get(table, key)
	if err != nil || old == nil {
		return err
	}
	tx.remember(table, key, old)
	return tx.engine.delete(table, key)
}

// maxKey is the longest key in bytes; bbolt's own limit is the same.
const maxKey = 32768

func (tx *Tx) writable(key string) error {
	switch {
	case tx.engine == nil:
		return ErrClosed
	case tx.before == nil:
		return ErrReadOnly
	case key == "" || len(key) > maxKey:
		return fmt.Errorf("key of %d bytes: want 1 to %d", len(key), maxKey)
	}
	return nil
}

// remember keeps what a row was when the transaction began.
func (tx *Tx) remember(table, key string, old []byte) {
	c := Change{Table: table, Key: key}
	if _, ok := tx.before[c]; !ok {
		tx.before[c] = bytes.Clone(old)
	}
}

// scan visits the rows with the prefix in the order of their keys. In an Update, visit may write: it is given the rows
// that were there when the scan began and still are.
func (tx *Tx) scan(table, prefix string, visit func(key string, value []byte) error) error {
	if tx.engine == nil {
		return ErrClosed
	}
	if tx.before == nil {
		return tx.engine.scan(table, prefix, visit)
	}
	var keys []string
	err := tx.engine.scan(table, prefix, func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, err := tx.engine.get(table, key)
		if err == nil && value != nil {
			err = visit(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Table is rows of one type under string keys. Rows are JSON on disk; what a method returns is a copy.
type Table[T any] struct{ name string }

// The tables, one for each row type of rows.go.
var (
	Resources     = Table[Resource]{"resources"}
	Conditions    = Table[Condition]{"outcomes"}
	Sources       = Table[Fetched]{"sources"}
	Renders       = Table[Render]{"renders"}
	Plans         = Table[Plan]{"plans"}
	Confirmations = Table[Confirmation]{"confirmations"}
	Repairs       = Table[Repair]{"repairs"}
	SignedBundles = Table[SignedBundle]{"desireds"}
	Spokes        = Table[Spoke]{"spokes"}
	Reports       = Table[Report]{"reports"}
	JoinTokens    = Table[JoinToken]{"jointokens"}
	Events        = Table[Event]{"events"}
	Secrets       = Table[Secret]{"secrets"}
)

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
	value, err := json.Marshal(row)
	if err != nil {
		return t.wrap("encode", key, err)
	}
	return t.wrap("put", key, tx.put(t.name, key, value))
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
