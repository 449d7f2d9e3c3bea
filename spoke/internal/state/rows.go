package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Mark describes the last apply of an application, with the options that are needed to delete the application after it
// left the bundle.
type Mark struct {
	Digest         manifest.Digest       `json:"digest"`
	Revision       string                `json:"revision"`
	HandledRequest string                `json:"handledRequest,omitempty"`
	At             time.Time             `json:"at"`
	Suspended      bool                  `json:"suspended,omitempty"`
	Prune          bool                  `json:"prune,omitempty"`
	DeletionPolicy bundle.DeletionPolicy `json:"deletionPolicy,omitempty"`
	ServiceAccount string                `json:"serviceAccount,omitempty"`
	// OtherAccount reports that some objects were last sent with another account than ServiceAccount.
	OtherAccount bool `json:"otherAccount,omitempty"`
	// DependsOn lists the dependencies at the last apply. The application is deleted before them.
	DependsOn []bundle.ApplicationName `json:"dependsOn,omitempty"`
	// Withheld reports that the removal waits for an operator's confirmation.
	Withheld bool `json:"withheld,omitempty"`
	// HealthyDigest is the digest at which the application was last ready, and HealthyRevision its revision; zero and
	// empty if the application never was. The digest's blobs are kept until another digest replaces it.
	HealthyDigest   manifest.Digest `json:"healthyDigest,omitzero"`
	HealthyRevision string          `json:"healthyRevision,omitempty"`
	// Inputs is the digest of what the substitution of variables depended on; zero: nothing was substituted.
	Inputs manifest.Digest `json:"inputs,omitzero"`
	// Release is what is needed to uninstall the release of Helm that the application is; nil: it is none.
	Release *Release `json:"release,omitempty"`
	// Pinned is the revision that the release was rolled back to last, so that it may be something else than Digest; 0: it
	// is what Digest says.
	Pinned uint32 `json:"pinned,omitempty"`
}

// Release names a release of Helm, and says how it is uninstalled.
type Release struct {
	Name             string               `json:"name"`
	Namespace        string               `json:"namespace"`
	StorageNamespace string               `json:"storageNamespace"`
	Uninstall        bundle.ReleaseAction `json:"uninstall"`
}

// PutMark stores the mark of an application.
func (s *Store) PutMark(app bundle.ApplicationName, m Mark) error {
	row, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.put(appliedBucket, app, row)
}

// Marks returns all marks, or ErrDamaged.
func (s *Store) Marks() (map[bundle.ApplicationName]Mark, error) {
	marks := map[bundle.ApplicationName]Mark{}
	err := s.scan(appliedBucket, func(app bundle.ApplicationName, row []byte) error {
		var m Mark
		if err := json.Unmarshal(row, &m); err != nil {
			return err
		}
		marks[app] = m
		return nil
	})
	return marks, err
}

// Forget deletes the mark, the inventory and the journal of an application.
func (s *Store) Forget(app bundle.ApplicationName) error {
	return s.update(func(tx *bolt.Tx) error {
		if err := tx.Bucket(appliedBucket).Delete(rowKey(app)); err != nil {
			return err
		}
		return errors.Join(tx.Bucket(inventoriesBucket).Delete(rowKey(app)), tx.Bucket(journalsBucket).Delete(rowKey(app)))
	})
}

// PutInventory stores the inventory of an application, as encoded by package inventory.
func (s *Store) PutInventory(app bundle.ApplicationName, data []byte) error {
	return s.put(inventoriesBucket, app, data)
}

// Inventory returns the encoded inventory of an application, or ErrNotFound.
func (s *Store) Inventory(app bundle.ApplicationName) ([]byte, error) {
	return s.get(inventoriesBucket, "inventory", app)
}

// PutJournal stores what the spoke remembers of the release that an application is, as the caller encoded it, and
// returns when the journal is on disk.
func (s *Store) PutJournal(app bundle.ApplicationName, data []byte) error {
	return s.put(journalsBucket, app, data)
}

// Journal returns the encoded journal of an application, or ErrNotFound.
func (s *Store) Journal(app bundle.ApplicationName) ([]byte, error) {
	return s.get(journalsBucket, "journal", app)
}

// get returns a row. what names the row in errors.
func (s *Store) get(bucket []byte, what string, app bundle.ApplicationName) ([]byte, error) {
	var data []byte
	err := s.view(func(tx *bolt.Tx) error {
		data = bytes.Clone(tx.Bucket(bucket).Get(rowKey(app)))
		return nil
	})
	if err == nil && data == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", what, app, err)
	}
	return data, nil
}

// Inventories calls fn for every inventory, sorted by application. fn must neither change the state nor keep data. An
// error of fn is returned as ErrDamaged.
func (s *Store) Inventories(fn func(app bundle.ApplicationName, data []byte) error) error {
	return s.scan(inventoriesBucket, fn)
}

// put writes a row. If the row is unchanged, put saves the fsync.
func (s *Store) put(bucket []byte, app bundle.ApplicationName, row []byte) error {
	key, same := rowKey(app), false
	err := s.view(func(tx *bolt.Tx) error {
		was := tx.Bucket(bucket).Get(key)
		same = was != nil && bytes.Equal(was, row)
		return nil
	})
	if err != nil || same {
		return err
	}
	if err := s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put(key, row) }); err != nil {
		return fmt.Errorf("store %s of %s: %w", bucket, app, err)
	}
	return nil
}

func (s *Store) scan(bucket []byte, fn func(bundle.ApplicationName, []byte) error) error {
	return s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			app, err := parseRowKey(k)
			if err == nil {
				err = fn(app, v)
			}
			if err != nil {
				return fmt.Errorf("%w: %s of %s: %w", ErrDamaged, bucket, app, err)
			}
			return nil
		})
	})
}
