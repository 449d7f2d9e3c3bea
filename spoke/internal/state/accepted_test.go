package state

import (
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
)

const (
	one   = "spiffe://one/cluster/prod"
	other = "spiffe://other/cluster/prod"
)

func expectSeen(t *testing.T, s *Store, recipient string, want bundle.ID) {
	t.Helper()
	if got, err := s.Seen(recipient); err != nil || got != want {
		t.Errorf("newest bundle of %s is %v, %v; want %v", recipient, got, err, want)
	}
}

// A cluster that moves to another hub and back: each hub counts for itself, and neither can turn its own time back.
func TestSeen(t *testing.T) {
	s, _ := newStore(t)
	for _, step := range []struct {
		recipient string
		id        bundle.ID
		want      error
	}{{one, id(5, 9), nil}, {other, id(1, 3), nil}, {one, id(5, 8), ErrOlder}, {other, id(1, 2), ErrOlder}, {one, id(5, 9),
		nil}, {one, id(5, 10), nil}} {
		if err := s.Accept(Accepted{Recipient: step.recipient, ID: step.id}, nil); !errors.Is(err, step.want) {
			t.Errorf("accept %v for %s: got %v, want %v", step.id, step.recipient, err, step.want)
		}
	}
	expectSeen(t, s, one, id(5, 10))
	expectSeen(t, s, other, id(1, 3))
	expectSeen(t, s, "spiffe://third/cluster/prod", bundle.ID{})
	if a, err := s.Accepted(); err != nil || a.Recipient != one || a.ID != id(5, 10) {
		t.Errorf("last accepted: %+v, %v", a, err)
	}
}

// The mark of a lost disk: what it held is accepted again, nothing older is.
func TestMarkSeen(t *testing.T) {
	s, _ := newStore(t)
	if err := errors.Join(s.MarkSeen(one, id(5, 9)), s.MarkSeen(one, id(5, 7))); err != nil {
		t.Fatal(err)
	}
	expectSeen(t, s, one, id(5, 9))
	if err := s.Accept(Accepted{Recipient: one, ID: id(5, 8)}, nil); !errors.Is(err, ErrOlder) {
		t.Errorf("an older bundle: got %v, want %v", err, ErrOlder)
	}
	if err := s.Accept(Accepted{Recipient: one, ID: id(5, 9), Envelope: []byte("again")}, nil); err != nil {
		t.Errorf("the same bundle: %v", err)
	}
	if a, err := s.Accepted(); err != nil || string(a.Envelope) != "again" {
		t.Errorf("last accepted: %+v, %v", a, err)
	}
}

// A file from before marks were kept for each recipient.
func TestSeen_earlier_file(t *testing.T) {
	s, path := newStore(t)
	err := errors.Join(s.Accept(accepted(id(1, 7), "envelope"), nil), s.update(func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket(seenBucket), tx.Bucket(acceptedBucket).Delete(recipientKey))
	}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	expectSeen(t, s, one, id(1, 7))
}
