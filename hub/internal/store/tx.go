package store

import (
	"bytes"
	"fmt"
)

// Tx is one transaction. Only the function that View or Update runs may use its Tx, in one goroutine.
type Tx struct {
	engine engineTx          // nil: the transaction has ended
	before map[Change][]byte // the value of each written row before, nil if there was none; the map is nil in a View
	alone  bool              // see NamesNoBlobs
	run    string            // see EventCursor
}

// NamesNoBlobs promises that the rows of this transaction name no blob that was put since the last Update. Then the
// rows are written without the blobs that wait, for which a full disk may have no room.
func (tx *Tx) NamesNoBlobs() { tx.alone = true }

// end makes the transaction unusable and undoes what was not committed.
func (tx *Tx) end() {
	tx.engine.rollback()
	tx.engine = nil
}

// changes returns the rows that differ from what they were before the transaction.
func (tx *Tx) changes() ([]Change, error) {
	var changed []Change
	for c, old := range tx.before {
		now, err := tx.engine.get(c.Table, c.Key)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(now, old) { // no row is empty
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

// write puts a row, or deletes it if value is nil, and updates the indexes of its table. An equal value changes
// nothing.
func (tx *Tx) write(t *layoutTable, key string, value []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	old, err := tx.engine.get(t.name, key)
	if err != nil || bytes.Equal(old, value) {
		return err
	}
	tx.remember(t.name, key, old)
	if old == nil || value == nil { // the row comes or goes
		mark := indexed
		if value == nil {
			mark = nil
		}
		for _, i := range t.indexes {
			if err := tx.engine.put(i.name, i.swap(key), mark); err != nil {
				return err
			}
		}
	}
	return tx.engine.put(t.name, key, value)
}

// maxKey is the length of the longest key in bytes, which is also bbolt's limit.
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

// remember keeps the value that a row had when the transaction began.
func (tx *Tx) remember(table, key string, old []byte) {
	c := Change{Table: table, Key: key}
	if _, ok := tx.before[c]; !ok {
		tx.before[c] = bytes.Clone(old)
	}
}

// scan visits the rows whose keys have the prefix, in the order of the keys. In an Update, visit may write; visit then
// gets the rows that existed when the scan began and still exist.
func (tx *Tx) scan(bucket, prefix string, visit func(key string, value []byte) error) error {
	if tx.engine == nil {
		return ErrClosed
	}
	if tx.before == nil {
		return tx.engine.scan(bucket, prefix, "", visit)
	}
	keys, err := keysOf(tx.engine, bucket, prefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, err := tx.engine.get(bucket, key)
		if err == nil && value != nil {
			err = visit(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keysOf returns the keys of a bucket that have the prefix, in order.
func keysOf(t engineTx, bucket, prefix string) (keys []string, err error) {
	err = t.scan(bucket, prefix, "", func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	return keys, err
}
