package decrypt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	agearmor "filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3/shamir"

	"github.com/navefleet/nave/shared/bundle"
)

// ErrNoKey means that none of the keys opens a file.
var ErrNoKey = errors.New("no key opens it")

const maxDataKey = 1 << 10 // bytes of a decrypted data key, or of a part of one

// Keys holds private keys, and the key service that is asked for others. It has no text form, and is not safe for
// concurrent use.
type Keys struct {
	age     []age.Identity
	pgp     openpgp.EntityList
	service *Service         // nil: there is none
	silent  map[string]error // the keys for which the service did not answer, by name
	left    int              // of maxEffort, for the file that is being opened
}

// With returns the keys with a key service, which is asked for the keys that are not among them. If service is nil, it
// returns them without.
func (k *Keys) With(service *Service) *Keys {
	return &Keys{age: k.age, pgp: k.pgp, service: service, silent: map[string]error{}}
}

// String hides the keys from fmt.
func (k *Keys) String() string { return "[private keys]" }

// GoString hides the keys from fmt.
func (k *Keys) GoString() string { return k.String() }

// ParseKeys returns the keys of a Flux decryption Secret: *.agekey holds age identities (X25519 or hybrid), *.asc holds
// armored OpenPGP private keys without a passphrase. Other entries are ignored. Plugins of age, which are programs, are
// never run. If there is no key, the error is ErrNoKey, and the Keys are empty. Errors name entries, never their
// content.
func ParseKeys(data map[string][]byte) (*Keys, error) {
	keys := &Keys{}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if err := keys.add(name, data[name]); err != nil {
			return nil, err
		}
	}
	if len(keys.age) == 0 && len(keys.pgp) == 0 {
		return keys, fmt.Errorf("%w: the Secret has no entry that ends in .agekey or .asc%s", ErrNoKey, credentials(data))
	}
	return keys, nil
}

// credentials returns the rest of a sentence about entries that Flux logs in to a cloud with; empty if there are none.
func credentials(data map[string][]byte) string {
	for _, name := range []string{"sops.vault-token", "sops.aws-kms", "sops.azure-kv", "sops.gcp-kms"} {
		if _, found := data[name]; found {
			return "; give what " + name + " holds to a key service (docs/secrets.md)"
		}
	}
	return ""
}

// names returns the public names of the keys, each once and not more than eight.
func (k *Keys) names() string { return cmp.Or(enumerate(k.Fingerprints()), "none") }

// Fingerprints returns the public names of the keys: age recipients and OpenPGP fingerprints.
func (k *Keys) Fingerprints() []string {
	var names []string
	for _, id := range k.age {
		switch id := id.(type) {
		case *age.X25519Identity:
			names = append(names, named("age", id.Recipient().String()))
		case *age.HybridIdentity:
			names = append(names, named("age", id.Recipient().String()))
		}
	}
	for _, entity := range k.pgp {
		names = append(names, fmt.Sprintf("OpenPGP %X", entity.PrimaryKey.Fingerprint))
	}
	return names
}

// enumerate lists names, each once and not more than eight.
func enumerate(names []string) string {
	const shown = 8
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) > shown {
		names = append(names[:shown], fmt.Sprintf("%d more", len(names)-shown))
	}
	return strings.Join(names, ", ")
}

// Recipients returns the public names of the keys that a SOPS file is encrypted for; empty if it cannot be read.
func Recipients(file []byte, format bundle.Format) string {
	docs, err := parse(file, format)
	if err != nil {
		return ""
	}
	var names []string
	for _, g := range groupsOf(docs) {
		m, err := readMetadata(g[0].metadata)
		if err != nil {
			continue
		}
		for _, group := range m.groups() {
			names = append(names, group.recipients()...)
		}
	}
	return enumerate(names)
}

func (k *Keys) add(name string, data []byte) error {
	switch {
	case strings.HasSuffix(name, ".agekey"):
		ids, err := age.ParseIdentities(bytes.NewReader(bytes.ReplaceAll(data, []byte("\r"), nil)))
		if err != nil {
			// age quotes the line it cannot read, which may be most of a key.
			return fmt.Errorf("entry %s: not a list of age identities (lines of AGE-SECRET-KEY-1… or "+
				"AGE-SECRET-KEY-PQ-1…)", name)
		}
		k.age = append(k.age, ids...)
	case strings.HasSuffix(name, ".asc"):
		return k.addPGP(name, string(data))
	}
	return nil
}

func (k *Keys) addPGP(name, text string) error {
	const begin = "-----BEGIN PGP"
	found := false
	for _, block := range strings.Split(text, begin)[1:] {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + block))
		if err != nil {
			return fmt.Errorf("entry %s: not an armored OpenPGP key", name)
		}
		for _, entity := range ring {
			if entity.PrivateKey == nil {
				continue
			}
			if entity.PrivateKey.Encrypted {
				return fmt.Errorf("entry %s: OpenPGP key %X has a passphrase; export it without one", name,
					entity.PrimaryKey.Fingerprint)
			}
			found = true
			k.pgp = append(k.pgp, entity)
		}
	}
	if !found {
		return fmt.Errorf("entry %s: holds no OpenPGP private key", name)
	}
	return nil
}

// dataKey returns the key that the leaves of a file are encrypted with. The error is ErrNoKey, ErrService if the key
// service might open the file another time, or ErrMalformed if the metadata yields no AES-256 key.
func (k *Keys) dataKey(ctx context.Context, m *metadata) ([]byte, error) {
	groups := m.groups()
	need := m.threshold(len(groups))
	parts, failures := k.parts(ctx, groups, need)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, context.Cause(ctx)
	}
	for _, err := range failures {
		if errors.Is(err, errEffort) {
			return nil, err
		}
	}
	if len(parts) < need {
		return nil, k.noKey(groups, failures, len(parts), need)
	}
	key := parts[0]
	if len(groups) > 1 {
		var err error
		if key, err = shamir.Combine(parts); err != nil {
			return nil, fmt.Errorf("%w: the parts of the data key do not fit together", ErrMalformed)
		}
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("%w: the data key has %d bytes, want %d", ErrMalformed, len(key), keySize)
	}
	return key, nil
}

// parts returns the parts of the data key, and for each group without one the error. The key service is asked only for
// as many parts as are needed.
func (k *Keys) parts(ctx context.Context, groups []keyGroup, need int) (parts [][]byte, failures map[int]error) {
	failures = map[int]error{}
	for i, group := range groups {
		part, err := k.open(ctx, group)
		if err != nil {
			failures[i] = err
			if errors.Is(err, errEffort) {
				return nil, failures
			}
			continue
		}
		parts = append(parts, part)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for i, group := range groups {
		if failures[i] == nil || len(parts) >= need {
			continue
		}
		part, err := k.ask(ctx, group)
		if failures[i] = err; err == nil {
			delete(failures, i)
			parts = append(parts, part)
		}
	}
	return parts, failures
}

// threshold returns how many of the key groups are needed. Shamir's scheme needs at least two; SOPS writes no threshold
// if all groups are needed.
func (m *metadata) threshold(groups int) int {
	switch {
	case groups <= 1:
		return 1
	case m.ShamirThreshold == 0:
		return groups
	}
	return max(m.ShamirThreshold, 2)
}

// noKey returns why too few groups could be opened: who could open them, which keys are here, and what the key service
// said.
func (k *Keys) noKey(groups []keyGroup, failures map[int]error, have, need int) error {
	var missing, said []string
	kind, needsService := ErrNoKey, false
	for _, i := range slices.Sorted(maps.Keys(failures)) {
		prefix := ""
		if len(groups) > 1 {
			prefix = fmt.Sprintf("group %d: ", i)
		}
		missing = append(missing, prefix+strings.Join(groups[i].recipients(), ", "))
		needsService = needsService || k.service == nil && groups[i].needsService()
		if errors.Is(failures[i], ErrService) {
			kind = ErrService
		}
		if failures[i] != ErrNoKey { //nolint:errorlint // the bare error says nothing that is not said above
			said = append(said, strings.ReplaceAll(failures[i].Error(), "\n", "; "))
		}
	}
	who := "it is encrypted for " + cmp.Or(strings.Join(missing, "; "), "nobody")
	if len(groups) > 1 {
		who = fmt.Sprintf("%d of the %d key groups needed could be opened; the others are encrypted for %s", have, need,
			strings.Join(missing, "; "))
	}
	who += "; the keys here are " + k.names()
	switch {
	case needsService:
		who += "; this spoke has no key service to ask (docs/secrets.md)"
	case len(said) > 0:
		who += "; the key service: " + strings.Join(said, "; ")
	}
	return fmt.Errorf("%w: %s", kind, who)
}

// open returns the group's part of the data key, decrypted with the first key of k that fits; age before OpenPGP, as
// SOPS does.
func (k *Keys) open(ctx context.Context, group keyGroup) ([]byte, error) {
	for _, key := range group.Age {
		if part, err := k.openAge(key.Enc); err == nil || isFinal(ctx, err) {
			return part, err
		}
	}
	for _, key := range group.PGP {
		if part, err := k.openPGP(key.Enc); err == nil || isFinal(ctx, err) {
			return part, err
		}
	}
	return nil, ErrNoKey
}

func (k *Keys) openAge(enc string) ([]byte, error) {
	if len(enc) > maxEnc {
		return nil, errEffort
	}
	if err := k.spend(len(k.age) * (1 + len(enc)/enoughBytes)); err != nil {
		return nil, err
	}
	r, err := age.Decrypt(agearmor.NewReader(strings.NewReader(enc)), k.age...)
	if err != nil {
		return nil, err
	}
	return readKey(r)
}

func (k *Keys) openPGP(enc string) ([]byte, error) {
	switch {
	case len(k.pgp) == 0:
		return nil, ErrNoKey
	case len(enc) > maxEnc:
		return nil, errEffort
	}
	if err := k.spend(pgpEffort * attemptsPGP(enc, k.pgp)); err != nil {
		return nil, err
	}
	block, err := armor.Decode(strings.NewReader(enc))
	if err != nil {
		return nil, err
	}
	message, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
	if err != nil {
		return nil, err
	}
	return readKey(message.UnverifiedBody)
}

func readKey(r io.Reader) ([]byte, error) {
	part, err := io.ReadAll(io.LimitReader(r, maxDataKey+1))
	if err == nil && len(part) > maxDataKey {
		err = ErrMalformed
	}
	return part, err
}
