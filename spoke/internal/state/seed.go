package state

import (
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
)

var seededKey = []byte("seeded")

// Seeded reports whether Seed was called on this file, so that the file knows everything that the spoke owns.
func (s *Store) Seeded() (yes bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		yes = tx.Bucket(metaBucket).Get(seededKey) != nil
		return nil
	})
	return yes, err
}

// Seed stores inventories and marks that were read from elsewhere, in one transaction. It replaces inventories, and
// adds marks of applications that have none.
func (s *Store) Seed(marks map[bundle.ApplicationName]Mark, inventories map[bundle.ApplicationName][]byte) error {
	err := s.update(func(tx *bolt.Tx) error {
		var errs []error
		for app, m := range marks {
			if tx.Bucket(appliedBucket).Get(rowKey(app)) != nil {
				continue
			}
			row, err := json.Marshal(m)
			errs = append(errs, err, tx.Bucket(appliedBucket).Put(rowKey(app), row))
		}
		for app, data := range inventories {
			errs = append(errs, tx.Bucket(inventoriesBucket).Put(rowKey(app), data))
		}
		return errors.Join(append(errs, tx.Bucket(metaBucket).Put(seededKey, []byte("yes")))...)
	})
	if err != nil {
		return fmt.Errorf("store the inventories that were read from the cluster: %w", err)
	}
	return nil
}
