// Package signer has the key that signs for the hub, and rotates it: each key signs a statement that names the next
// one, and a spoke that trusts the first may follow the chain of statements, however many it slept through.
//
// The rows of store.SigningKeys are the chain; the private key is a file. A rotation makes the new key, writes the key
// to signing.key.next, writes the statement, and then renames the file. Open completes or undoes what a crash
// interrupted: the statement in the store decides. The private key of a rotated key is gone.
//
// After a rotation spokes accept both keys. Retire names the new one alone. A key of the overlap accepts bundles and
// cannot name keys, so that whoever stole it can neither extend the chain nor come back after it was retired.
package signer

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/signing"
)

// The names of the files in the data folder.
const (
	keyFile  = "signing.key"
	nextFile = "signing.key.next" // the key of a rotation, until its statement is written
)

// look is how often the end of an overlap is looked for, at most, because the clock can be set.
const look = time.Minute

// ErrState means that the keys do not allow what was asked for.
var ErrState = errors.New("nothing was changed")

// Config has the settings and dependencies of Keys.
type Config struct {
	Store       *store.Store
	Dir         string // the data folder
	TrustDomain string
	Anew        bool             // the key was lost: the chain, which nobody can continue, is deleted
	Log         *slog.Logger     // nil: slog.Default
	Now         func() time.Time // nil: time.Now
}

// Keys is the key that signs, and the chain that led to it. Keys is safe for concurrent use.
type Keys struct {
	Config

	mu     sync.RWMutex // guards the following; held while a rotation is written, so that nobody signs with the key before
	signer *signing.Signer
	trust  signing.Trust // after the last statement; no keys: there is no statement
}

// Open loads the key that signs, and completes or undoes a rotation that a crash interrupted. If there is no key, Open
// makes one. If the key is not the one that the last statement names, Open returns an error.
func Open(ctx context.Context, c Config) (*Keys, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keys{Config: c}
	if err := k.load(ctx); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if err := k.recover(); err != nil {
		return nil, err
	}
	var err error
	if k.signer, err = signing.LoadOrCreate(k.path(keyFile)); err != nil {
		return nil, err
	}
	if k.trust.Number > 0 && !k.trust.Keys[0].Equal(k.signer.Public()) {
		return nil, fmt.Errorf("%s is key %.12s, but key %.12s signs since statement %d of the store: restore the file and "+
			"the store from the same backup. To start over with a new key, which every spoke must be given with a new join "+
			"manifest, remove the file and start the hub once with --new-key=%s", k.path(keyFile),
			signing.KeyID(k.signer.Public()), signing.KeyID(k.trust.Keys[0]), k.trust.Number, keyFile)
	}
	return k, nil
}

func (k *Keys) path(name string) string { return filepath.Join(k.Dir, name) }

// load follows the chain in the store, or deletes the chain if the key is made anew.
func (k *Keys) load(ctx context.Context) error {
	if k.Anew {
		k.Anew = false
		return k.Store.Update(ctx, func(tx *store.Tx) error {
			tx.NamesNoBlobs()
			return store.SigningKeys.Scan(tx, "", func(key string, _ store.KeyStatement) error {
				return store.SigningKeys.Delete(tx, key)
			})
		})
	}
	var chain [][]byte
	err := k.Store.View(ctx, func(tx *store.Tx) (err error) {
		chain, err = store.KeyChain(tx, 0)
		return err
	})
	if err != nil || len(chain) == 0 {
		return err
	}
	first, err := signing.OpenStatement(chain[0])
	if err == nil {
		k.trust, err = signing.Trust{Keys: []ed25519.PublicKey{first.Previous}}.Follow(k.TrustDomain, chain)
	}
	return err
}

// recover completes a rotation whose statement is in the store, and undoes one whose statement is not.
func (k *Keys) recover() error {
	if _, err := os.Stat(k.path(nextFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	next, err := signing.LoadOrCreate(k.path(nextFile))
	if err != nil {
		return err
	}
	if k.trust.Number > 0 && k.trust.Keys[0].Equal(next.Public()) {
		k.Log.Warn("a rotation of the signing key was interrupted, and is completed")
		return os.Rename(k.path(nextFile), k.path(keyFile))
	}
	k.Log.Warn("a rotation of the signing key was interrupted before its statement was written, and is undone")
	return os.Remove(k.path(nextFile))
}

// Sign signs a payload with the present key.
func (k *Keys) Sign(payloadType string, payload []byte) *signing.Envelope {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.signer.Sign(payloadType, payload)
}

// Public returns the public key that signs.
func (k *Keys) Public() ed25519.PublicKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.signer.Public()
}

// Rotate makes a new key, which signs from now on. Spokes accept the key before until it is retired: after overlap, or,
// if overlap is 0, by Retire. If a key before is not retired yet, the error is ErrState. note is called in the
// transaction that writes the statement; nil: nothing is.
func (k *Keys) Rotate(ctx context.Context, overlap time.Duration, note func(*store.Tx) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.settle(ctx); err != nil {
		return err
	}
	if len(k.trust.Keys) > 1 {
		return fmt.Errorf("%w: key %.12s is not retired yet: retire it first, with `nave keys retire`", ErrState,
			signing.KeyID(k.trust.Keys[1]))
	}
	next, err := signing.LoadOrCreate(k.path(nextFile))
	if err != nil {
		return err
	}
	var retires time.Time
	if overlap > 0 {
		retires = k.Now().UTC().Add(overlap)
	}
	if err := k.say(ctx, next, retires, note, next.Public(), k.signer.Public()); err != nil {
		return err // the new key stays: after an error of the disk the statement may be in the store
	}
	k.signer = next // also if the file keeps its name: the statement says so, and Open completes it
	k.Log.Info("the signing key was rotated", slog.String("key", signing.KeyID(next.Public())[:12]))
	return os.Rename(k.path(nextFile), k.path(keyFile))
}

// settle finishes a rotation whose last attempt failed, as Open would.
func (k *Keys) settle(ctx context.Context) error {
	if _, err := os.Stat(k.path(nextFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := k.load(ctx); err != nil {
		return err
	}
	err := k.recover()
	if err == nil {
		k.signer, err = signing.LoadOrCreate(k.path(keyFile))
	}
	return err
}

// Retire retires the key before: spokes accept it no more. If no key is left of a rotation, the error is ErrState. note
// is as of Rotate.
func (k *Keys) Retire(ctx context.Context, note func(*store.Tx) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.trust.Keys) < 2 {
		return fmt.Errorf("%w: the key that signs is the only one; make another one first, with `nave keys rotate`", ErrState)
	}
	err := k.say(ctx, k.signer, time.Time{}, note, k.signer.Public())
	if err == nil {
		k.Log.Info("the signing key before was retired", slog.String("key", signing.KeyID(k.trust.Keys[0])[:12]))
	}
	return err
}

// say writes a statement that the present key and next sign.
func (k *Keys) say(ctx context.Context, next *signing.Signer, retires time.Time, note func(*store.Tx) error,
	keys ...ed25519.PublicKey) error {
	s := signing.Statement{TrustDomain: k.TrustDomain, Number: k.trust.Number + 1, Previous: k.signer.Public(), Keys: keys,
		IssuedAt: k.Now().UTC()}
	envelope, err := s.Sign(k.signer, next)
	if err != nil {
		return err
	}
	trust := k.trust
	if trust.Number == 0 {
		trust.Keys = []ed25519.PublicKey{s.Previous}
	}
	if trust, err = trust.Follow(k.TrustDomain, [][]byte{envelope}); err != nil { // no spoke would accept it
		return err
	}
	err = k.Store.Update(ctx, func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		err := store.SigningKeys.Put(tx, store.KeyStatementKey(s.Number), store.KeyStatement{Envelope: envelope,
			RetiresAt: retires})
		if err == nil && note != nil {
			err = note(tx)
		}
		return err
	})
	if err == nil {
		k.trust = trust
	}
	return err
}

// Run retires keys at the end of their overlap, until ctx ends or the store is closed.
func (k *Keys) Run(ctx context.Context) error {
	return loop.Loop{
		Name: "signing keys", Store: k.Store, Log: k.Log, Tables: []string{store.SigningKeys.Name()},
		Note: func(context.Context, []store.Change) error { return nil },
		Work: func(ctx context.Context) (time.Duration, error) {
			left, err := k.untilRetirement(ctx)
			if err != nil || left > 0 {
				return min(look, left), err
			}
			if err := k.Retire(ctx, nil); err != nil && !errors.Is(err, ErrState) { // an operator was faster
				return 0, err
			}
			return look, nil
		},
	}.Run(ctx)
}

// untilRetirement returns the time until the key before is to be retired; look if there is none, or no end.
func (k *Keys) untilRetirement(ctx context.Context) (time.Duration, error) {
	k.mu.RLock()
	number, overlaps := k.trust.Number, len(k.trust.Keys) > 1
	k.mu.RUnlock()
	if !overlaps {
		return look, nil
	}
	var row store.KeyStatement
	err := k.Store.View(ctx, func(tx *store.Tx) (err error) {
		row, _, err = store.SigningKeys.Get(tx, store.KeyStatementKey(number))
		return err
	})
	if err != nil || row.RetiresAt.IsZero() {
		return look, err
	}
	return row.RetiresAt.Sub(k.Now()), nil
}
