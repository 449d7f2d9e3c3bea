package membership

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
)

// KeptKeys are the keys that a spoke accepts, as stored in SecretName, so that a new Pod does not go back to keys that
// were retired.
type KeptKeys struct {
	TrustDomain string `json:"trustDomain"`
	Anchor      string `json:"anchor"` // the key ids of the join manifest that was in use
	signing.Trust
}

// Keys are the keys that this spoke accepts bundles of: those of the join manifest, and those that the hub's statements
// named since. The methods are safe for concurrent use.
type Keys struct {
	KeysConfig
	keyring *signing.Keyring

	mu    sync.Mutex // guards trust
	trust signing.Trust
}

// KeysConfig has the settings and dependencies of Keys.
type KeysConfig struct {
	TrustDomain string
	Given       []ed25519.PublicKey // by the join manifest
	Save        func(context.Context, KeptKeys) error
	Refused     func(error)  // is told about statements that are not accepted; nil: nobody is
	Log         *slog.Logger // nil: slog.Default
}

// Keys returns the Keys that a spoke begins with. If the join manifest has only keys that were retired, Keys logs that,
// and the keys that were stored stay.
func (k Kept) Keys(c KeysConfig) (*Keys, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	keys := &Keys{KeysConfig: c, trust: signing.Trust{Keys: c.Given}}
	if was := k.keys; was != nil && was.TrustDomain == c.TrustDomain {
		keys.trust = was.Trust
		if was.Anchor != anchorOf(c.Given) {
			var err error
			if keys.trust, err = was.Anchored(c.Given); err != nil {
				c.Log.Warn("the signing keys of the settings are not used", telemetry.Err(err))
			}
		}
	}
	var err error
	keys.keyring, err = keys.trust.Keyring()
	return keys, err
}

// anchorOf returns a text that is the same for the same keys.
func anchorOf(keys []ed25519.PublicKey) string {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = signing.KeyID(key)
	}
	slices.Sort(ids)
	return strings.Join(ids, ",")
}

// Keyring returns the keyring. Accept replaces its keys.
func (k *Keys) Keyring() *signing.Keyring { return k.keyring }

// Statement returns the number of the last statement that was accepted; 0: there was none.
func (k *Keys) Statement() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trust.Number
}

// Accept follows the statements of the hub. The result is stored before it is used. A statement that is not accepted is
// reported to Refused, and those before it count. If the result cannot be stored, Accept returns an error, and nothing
// changes.
func (k *Keys) Accept(ctx context.Context, chain [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, refused := k.trust.Follow(k.TrustDomain, chain)
	if refused != nil {
		k.Log.Error("statement about signing keys refused", telemetry.Err(refused))
		if k.Refused != nil {
			k.Refused(refused)
		}
	}
	if next.Number == k.trust.Number {
		return nil
	}
	kept := KeptKeys{TrustDomain: k.TrustDomain, Anchor: anchorOf(k.Given), Trust: next}
	if err := k.Save(ctx, kept); err != nil {
		return fmt.Errorf("keep the signing keys: %w", err)
	}
	if err := k.keyring.Replace(next.Keys...); err != nil {
		return errors.Join(errors.New("signing keys of a statement"), err)
	}
	k.trust = next
	k.Log.Info("the hub's signing keys changed", slog.Uint64("statement", next.Number),
		slog.String("keys", k.keyring.String()))
	return nil
}
