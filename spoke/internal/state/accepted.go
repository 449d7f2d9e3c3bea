package state

import (
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
)

// Accepted is the last verified bundle.
type Accepted struct {
	Recipient string // the SPIFFE ID of its cluster
	ID        bundle.ID
	Envelope  []byte // as received
}

// Accepted returns the last verified bundle, or ErrNotFound.
func (s *Store) Accepted() (Accepted, error) {
	var a Accepted
	err := s.view(func(tx *bolt.Tx) (err error) {
		b := tx.Bucket(acceptedBucket)
		if b.Get(idKey) == nil {
			return ErrNotFound
		}
		a.Recipient = string(b.Get(recipientKey))
		a.Envelope = append(a.Envelope, b.Get(envelopeKey)...)
		a.ID, err = readID(b.Get(idKey))
		return err
	})
	if err != nil {
		return Accepted{}, fmt.Errorf("last accepted bundle: %w", err)
	}
	return a, nil
}

// Accept stores a verified bundle as the last accepted one and as the newest one seen for its recipient, together with
// the blobs that came with it, in one transaction. All other blobs that the bundle needs must be stored before. If the
// bundle is older than the newest one seen for the recipient, Accept returns ErrOlder, whatever the caller checked. The
// newest one itself is accepted again.
func (s *Store) Accept(a Accepted, blobs []Blob) error {
	row, err := json.Marshal(a.ID)
	if err != nil {
		return err
	}
	err = s.update(func(tx *bolt.Tx) error {
		was, err := seen(tx, a.Recipient)
		if err != nil {
			return err
		}
		if a.ID != was && !a.ID.Newer(was) {
			return fmt.Errorf("%w: sequence %d.%d after %d.%d", ErrOlder, a.ID.Epoch, a.ID.Sequence, was.Epoch, was.Sequence)
		}
		if err := putBlobs(tx, blobs); err != nil {
			return err
		}
		b := tx.Bucket(acceptedBucket)
		return errors.Join(b.Put(idKey, row), b.Put(recipientKey, []byte(a.Recipient)), b.Put(envelopeKey, a.Envelope),
			tx.Bucket(seenBucket).Put([]byte(a.Recipient), row))
	})
	if err != nil {
		return fmt.Errorf("accept bundle %d.%d: %w", a.ID.Epoch, a.ID.Sequence, err)
	}
	return nil
}

// Seen returns the newest bundle that was ever verified for a recipient. If there is none, Seen returns the zero ID.
func (s *Store) Seen(recipient string) (id bundle.ID, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		id, err = seen(tx, recipient)
		return err
	})
	if err != nil {
		return bundle.ID{}, fmt.Errorf("newest bundle of %s: %w", recipient, err)
	}
	return id, nil
}

// MarkSeen raises the newest bundle seen for a recipient to one that an earlier disk held. It never lowers it.
func (s *Store) MarkSeen(recipient string, id bundle.ID) error {
	was, err := s.Seen(recipient)
	if err != nil || !id.Newer(was) {
		return err
	}
	row, err := json.Marshal(id)
	if err != nil {
		return err
	}
	err = s.update(func(tx *bolt.Tx) error { return tx.Bucket(seenBucket).Put([]byte(recipient), row) })
	if err != nil {
		return fmt.Errorf("newest bundle of %s: %w", recipient, err)
	}
	return nil
}

func seen(tx *bolt.Tx, recipient string) (bundle.ID, error) {
	row := tx.Bucket(seenBucket).Get([]byte(recipient))
	if b := tx.Bucket(acceptedBucket); row == nil && b.Get(recipientKey) == nil {
		row = b.Get(idKey) // written by a version that knew one hub only
	}
	return readID(row)
}

// readID decodes the bundle.ID in a row. Without a row it returns the zero ID.
func readID(row []byte) (id bundle.ID, err error) {
	if row == nil {
		return id, nil
	}
	if err := json.Unmarshal(row, &id); err != nil {
		return id, fmt.Errorf("%w: the name of a bundle: %w", ErrDamaged, err)
	}
	return id, nil
}
