package store

import (
	"bytes"
	"errors"
	"fmt"
)

// Tx is one transaction. Only the function that View or Update runs may use its Tx, in one goroutine.
type Tx struct {
	engine engineTx          // nil: the transaction has ended
	before map[Change][]byte // the value of each written row before, nil if there was none; the map is nil in a View
}

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

// put writes a row unless there is an equal one.
func (tx *Tx) put(table, key string, value []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	old, err := tx.engine.get(table, key)
	if err != nil || old != nil && bytes.Equal(old, value) {
		return err
	}
	tx.remember(table, key, old)
	if old == nil {
		if err := putIndexes(tx.engine, table, key); err != nil {
			return err
		}
	}
	return tx.engine.put(table, key, value)
}

// delete deletes a row if there is one.
func (tx *Tx) delete(table, key string) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	old, err := tx.engine.get(table, key)
	if err != nil || old == nil {
		return err
	}
	tx.remember(table, key, old)
	if err := deleteIndexes(tx.engine, table, key); err != nil {
		return err
	}
	return tx.engine.delete(table, key)
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
func (tx *Tx) scan(table, prefix string, visit func(key string, value []byte) error) error {
	if tx.engine == nil {
		return ErrClosed
	}
	if tx.before == nil {
		return tx.engine.scan(table, prefix, "", visit)
	}
	var keys []string
	err := tx.engine.scan(table, prefix, "", func(key string, _ []byte) error {
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

// page visits at most limit rows whose keys have the prefix and come after the key after, in order. visit must not
// write.
func (tx *Tx) page(table, prefix, after string, limit int, visit func(key string, value []byte) error) error {
	if tx.engine == nil {
		return ErrClosed
	}
	err := tx.engine.scan(table, prefix, after, func(key string, value []byte) error {
		if limit--; limit < 0 {
			return errFound
		}
		return visit(key, value)
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
