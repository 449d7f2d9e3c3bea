package membership

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// SecretName is the Secret in the spoke's own namespace that holds the spoke's key and certificate, so that a new Pod
// is the same spoke, and the Marks of verified bundles and the signing keys, so that a new Pod accepts no older ones.
const SecretName = "nave-spoke-identity"

// The entries of SecretName beside the identity itself.
const (
	settingsEntry = "settings.json" // the last Settings that led to a session
	marksEntry    = "marks.json"    // the Marks
	shapeEntry    = "shape.key"     // the key of ShapeKey
	keysEntry     = "keys.json"     // the KeptKeys
)

// The field managers of the entries in SecretName. Each entry is written without the others.
const (
	settingsManager = kube.FieldManager + "-settings"
	marksManager    = kube.FieldManager + "-marks"
	shapeManager    = kube.FieldManager + "-shapes"
	keysManager     = kube.FieldManager + "-keys"
)

// Secret keeps the identity, the Settings that belong to it, the Marks, the KeptKeys and the ShapeKey in SecretName.
type Secret struct {
	Client    *kube.Client
	Namespace string
}

// Load returns the entries of the Secret. If the Secret does not exist, Load returns no entries and no error.
func (s Secret) Load(ctx context.Context) (map[string][]byte, error) {
	entries, err := s.Client.Secret(ctx, s.Namespace, SecretName)
	if kube.ReasonOf(err) == kube.NotFound {
		return nil, nil
	}
	return entries, err
}

// Save replaces the identity.
func (s Secret) Save(ctx context.Context, entries map[string][]byte) error {
	return s.apply(ctx, kube.FieldManager, entries)
}

// SaveSettings replaces the Settings.
func (s Secret) SaveSettings(ctx context.Context, settings Settings) error {
	return s.saveJSON(ctx, settingsManager, settingsEntry, settings)
}

// SaveKeys replaces the KeptKeys.
func (s Secret) SaveKeys(ctx context.Context, k KeptKeys) error {
	return s.saveJSON(ctx, keysManager, keysEntry, k)
}

// SaveMarks replaces the Marks.
func (s Secret) SaveMarks(ctx context.Context, m Marks) error {
	return s.saveJSON(ctx, marksManager, marksEntry, m)
}

// ShapeKey returns the key of the hashes by which the hub learns that a text changed, and nothing about the text. The
// key is made once, and never leaves the cluster.
func (s Secret) ShapeKey(ctx context.Context) ([]byte, error) {
	entries, err := s.Load(ctx)
	if key := entries[shapeEntry]; err != nil || len(key) == sha256.Size {
		return key, err
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails, as its documentation says
	return key, s.apply(ctx, shapeManager, map[string][]byte{shapeEntry: key})
}

func (s Secret) saveJSON(ctx context.Context, manager, entry string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.apply(ctx, manager, map[string][]byte{entry: text})
}

// apply replaces the entries of one manager.
func (s Secret) apply(ctx context.Context, manager string, entries map[string][]byte) error {
	data := make(map[string]any, len(entries))
	for name, value := range entries {
		data[name] = base64.StdEncoding.EncodeToString(value)
	}
	secret := &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"namespace": s.Namespace, "name": SecretName},
		"data":     data,
	}}
	_, err := s.Client.Apply(ctx, secret, kube.ApplyOptions{FieldManager: manager})
	return err
}

// Kept is the decoded content of SecretName.
type Kept struct {
	Marks    Marks
	id       identity.ID
	known    bool      // there is an id
	settings *Settings // nil: stored by an earlier version
	keys     *KeptKeys // nil: no statement about signing keys was accepted
}

// ReadKept decodes the entries of SecretName. If an entry cannot be decoded, ReadKept returns the other entries and an
// error.
func ReadKept(entries map[string][]byte) (k Kept, err error) {
	k.id, k.known = keptID(entries)
	k.settings, err = readJSON[Settings](entries, settingsEntry)
	marks, marksErr := readJSON[Marks](entries, marksEntry)
	if marks != nil {
		k.Marks = *marks
	}
	var keysErr error
	k.keys, keysErr = readJSON[KeptKeys](entries, keysEntry)
	return k, errors.Join(err, marksErr, keysErr)
}

// readJSON decodes an entry of SecretName. If the entry is missing, readJSON returns nil.
func readJSON[T any](entries map[string][]byte, name string) (*T, error) {
	text := entries[name]
	if text == nil {
		return nil, nil
	}
	value := new(T)
	if err := json.Unmarshal(text, value); err != nil {
		return nil, fmt.Errorf("%s of Secret %s: %w", name, SecretName, err)
	}
	return value, nil
}
