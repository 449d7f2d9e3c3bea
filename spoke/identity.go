package spoke

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/session"
)

// IdentitySecret is the Secret in the spoke's own namespace that holds its key and certificate, so that a new Pod is
// the same spoke, and the newest bundles that it verified, so that it is not fed older ones.
const IdentitySecret = "nave-spoke-identity"

const versionTimeout = 5 * time.Second

// The entries of IdentitySecret beside the identity itself.
const (
	settingsEntry = "settings.json" // the last settings that led to a session, so that the spoke can go on with them
	marksEntry    = "marks.json"    // the marks
)

// These own their entry in IdentitySecret, so that each is written without the others.
const (
	settingsManager = kube.FieldManager + "-settings"
	marksManager    = kube.FieldManager + "-marks"
)

// secretKeeper keeps the identity, the settings that belong to it, and the marks in IdentitySecret.
type secretKeeper struct {
	client    *kube.Client
	namespace string
}

// Load returns the Secret's entries; none when there is no Secret.
func (k secretKeeper) Load(ctx context.Context) (map[string][]byte, error) {
	entries, err := k.client.Secret(ctx, k.namespace, IdentitySecret)
	if kube.ReasonOf(err) == kube.NotFound {
		return nil, nil
	}
	return entries, err
}

// Save replaces the identity.
func (k secretKeeper) Save(ctx context.Context, entries map[string][]byte) error {
	return k.apply(ctx, kube.FieldManager, entries)
}

// saveSettings replaces the settings.
func (k secretKeeper) saveSettings(ctx context.Context, s settings) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return k.apply(ctx, settingsManager, map[string][]byte{settingsEntry: text})
}

// saveMarks replaces the marks.
func (k secretKeeper) saveMarks(ctx context.Context, m marks) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return k.apply(ctx, marksManager, map[string][]byte{marksEntry: text})
}

// apply replaces the entries of one manager.
func (k secretKeeper) apply(ctx context.Context, manager string, entries map[string][]byte) error {
	data := make(map[string]any, len(entries))
	for name, value := range entries {
		data[name] = base64.StdEncoding.EncodeToString(value)
	}
	secret := &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"namespace": k.namespace, "name": IdentitySecret},
		"data":     data,
	}}
	_, err := k.client.Apply(ctx, secret, kube.ApplyOptions{FieldManager: manager, Force: true})
	return err
}

// kept is what IdentitySecret holds.
type kept struct {
	id       identity.ID
	known    bool      // there is an id
	settings *settings // nil: of an earlier version
	marks    marks
}

// readKept reads the entries of IdentitySecret. What cannot be read is left out, and is an error beside the rest.
func readKept(entries map[string][]byte) (k kept, err error) {
	k.id, k.known = session.Kept(entries)
	if text := entries[settingsEntry]; text != nil {
		s := &settings{}
		if parseErr := json.Unmarshal(text, s); parseErr != nil {
			err = fmt.Errorf("%s of Secret %s: %w", settingsEntry, IdentitySecret, parseErr)
		} else {
			k.settings = s
		}
	}
	if text := entries[marksEntry]; text != nil {
		if parseErr := json.Unmarshal(text, &k.marks); parseErr != nil {
			err = errors.Join(err, fmt.Errorf("%s of Secret %s: %w", marksEntry, IdentitySecret, parseErr))
		}
	}
	return k, err
}

// role is who a spoke is, and who it is to be.
type role struct {
	settings          // it works with these
	next     settings // it registers with these, to work with them then; equal to settings when there is nothing to do
	confused error    // why it works with other settings than it was given
}

// settle decides by what is kept and what is given. A spoke that has an identity keeps it, with its settings, until it
// has the one that it is to have; while the settings are of a cluster that it must not become, it keeps it for good.
func (k kept) settle(given settings) role {
	r := role{settings: given, next: given}
	if !k.known || k.id == given.id() {
		return r
	}
	r.confused = session.Confuses(k.id, given.id(), given.Replaces)
	if r.confused == nil && k.settings == nil {
		return r // of an earlier version: nothing to go on with
	}
	if k.settings != nil {
		r.settings = *k.settings
	}
	r.Cluster, r.TrustDomain, r.Replaces, r.Policy = k.id.Name, k.id.TrustDomain, "", given.Policy
	if r.confused != nil {
		r.next = r.settings
	}
	return r
}

// moves reports whether the spoke is to become another one.
func (r role) moves() bool { return r.next != r.settings }

// kubernetesVersion asks the cluster for its version, for the hub to know; empty when it does not answer.
func (s *Spoke) kubernetesVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	v, err := s.client.ServerVersion(ctx)
	if err != nil {
		return ""
	}
	return v
}
