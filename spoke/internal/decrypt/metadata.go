package decrypt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/telemetry"
)

const metadataKey = "sops"

// ErrNotEncrypted means that a file has no sops metadata.
var ErrNotEncrypted = errors.New("no sops metadata: the file is not encrypted by SOPS")

// metadata is the sops block of a file as SOPS 3 writes it in YAML.
type metadata struct {
	keyGroup                `yaml:",inline"`
	KeyGroups               []keyGroup `yaml:"key_groups"`
	ShamirThreshold         int        `yaml:"shamir_threshold"`
	LastModified            string     `yaml:"lastmodified"`
	MAC                     string     `yaml:"mac"`
	MACOnlyEncrypted        bool       `yaml:"mac_only_encrypted"`
	UnencryptedSuffix       string     `yaml:"unencrypted_suffix"`
	EncryptedSuffix         string     `yaml:"encrypted_suffix"`
	UnencryptedRegex        string     `yaml:"unencrypted_regex"`
	EncryptedRegex          string     `yaml:"encrypted_regex"`
	UnencryptedCommentRegex string     `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string     `yaml:"encrypted_comment_regex"`
}

// keyGroup lists master keys. Each of them decrypts the group's part of the data key.
type keyGroup struct {
	Age       []ageKey    `yaml:"age"`
	PGP       []pgpKey    `yaml:"pgp"`
	KMS       []kmsKey    `yaml:"kms"`
	GCPKMS    []gcpKey    `yaml:"gcp_kms"`
	AzureKV   []azureKey  `yaml:"azure_kv"`
	Vault     []vaultKey  `yaml:"hc_vault"`
	HuaweiKMS []huaweiKey `yaml:"hckms"`
}

type ageKey struct {
	Recipient string `yaml:"recipient"`
	Enc       string `yaml:"enc"`
}

type pgpKey struct {
	Fingerprint string `yaml:"fp"`
	Enc         string `yaml:"enc"`
}

type kmsKey struct {
	ARN     string            `yaml:"arn"`
	Role    string            `yaml:"role"`
	Context map[string]string `yaml:"context"`
	Profile string            `yaml:"aws_profile"`
	Enc     string            `yaml:"enc"`
}

type gcpKey struct {
	ResourceID string `yaml:"resource_id"`
	Enc        string `yaml:"enc"`
}

type azureKey struct {
	VaultURL string `yaml:"vault_url"`
	Name     string `yaml:"name"`
	Version  string `yaml:"version"`
	Enc      string `yaml:"enc"`
}

type vaultKey struct {
	Address string `yaml:"vault_address"`
	Engine  string `yaml:"engine_path"`
	Key     string `yaml:"key_name"`
	Enc     string `yaml:"enc"`
}

type huaweiKey struct {
	KeyID string `yaml:"key_id"`
	Enc   string `yaml:"enc"`
}

// macOf returns the MAC in a sops block; empty if there is none.
func macOf(block *yaml.Node) string {
	for i := 0; block.Kind == yaml.MappingNode && i+1 < len(block.Content); i += 2 {
		if block.Content[i].Value == "mac" {
			return block.Content[i+1].Value
		}
	}
	return ""
}

// readMetadata reads a sops block. The error is ErrMalformed.
func readMetadata(block *yaml.Node) (*metadata, error) {
	m := &metadata{}
	if err := block.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: the sops block is not SOPS metadata", ErrMalformed)
	}
	modified, err := time.Parse(time.RFC3339, m.LastModified)
	if err != nil {
		return nil, fmt.Errorf("%w: sops.lastmodified is no RFC 3339 time", ErrMalformed)
	}
	// SOPS binds the MAC to the time as it prints it.
	m.LastModified = modified.Format(time.RFC3339)
	return m, nil
}

// groups returns the key groups. Keys directly below sops are one group, and then key_groups does not count.
func (m *metadata) groups() []keyGroup {
	if len(m.recipients()) > 0 || len(m.KeyGroups) == 0 {
		return []keyGroup{m.keyGroup}
	}
	return m.KeyGroups
}

// maxRecipient is how much of a recipient is shown, in bytes: the metadata is not verified yet.
const maxRecipient = 160

// named returns the name of a public key: its type and identifier.
func named(kind, id string) string { return kind + " " + telemetry.Line(id, maxRecipient) }

func (k ageKey) name() string    { return named("age", k.Recipient) }
func (k pgpKey) name() string    { return named("OpenPGP", k.Fingerprint) }
func (k kmsKey) name() string    { return named("AWS KMS", k.ARN) }
func (k gcpKey) name() string    { return named("GCP KMS", k.ResourceID) }
func (k huaweiKey) name() string { return named("Huawei KMS", k.KeyID) }

func (k azureKey) name() string {
	return named("Azure Key Vault", strings.Join([]string{k.VaultURL, "keys", k.Name, k.Version}, "/"))
}

func (k vaultKey) name() string {
	return named("Vault", strings.Join([]string{k.Address, "v1", k.Engine, "keys", k.Key}, "/"))
}

// recipients returns the names of the group's public keys.
func (g keyGroup) recipients() []string {
	var names []string
	for _, key := range g.askable() {
		names = append(names, key.name)
	}
	return names
}

// needsService reports whether the group has only keys that this spoke can use through a key service alone.
func (g keyGroup) needsService() bool {
	return len(g.Age)+len(g.PGP) == 0 && len(g.recipients()) > 0
}

// rules returns the rule that selects the encrypted leaves, in the form of the library. The error is ErrMalformed if
// there are several rules, or if a regular expression is none.
func (m *metadata) rules() (sops.Metadata, error) {
	r := sops.Metadata{
		MACOnlyEncrypted: m.MACOnlyEncrypted, UnencryptedSuffix: m.UnencryptedSuffix, EncryptedSuffix: m.EncryptedSuffix,
		UnencryptedRegex: m.UnencryptedRegex, EncryptedRegex: m.EncryptedRegex,
		UnencryptedCommentRegex: m.UnencryptedCommentRegex, EncryptedCommentRegex: m.EncryptedCommentRegex,
	}
	var given []string
	for _, rule := range []struct{ name, text string }{
		{"unencrypted_suffix", m.UnencryptedSuffix}, {"encrypted_suffix", m.EncryptedSuffix},
		{"unencrypted_regex", m.UnencryptedRegex}, {"encrypted_regex", m.EncryptedRegex},
		{"unencrypted_comment_regex", m.UnencryptedCommentRegex}, {"encrypted_comment_regex", m.EncryptedCommentRegex},
	} {
		if rule.text == "" {
			continue
		}
		given = append(given, "sops."+rule.name)
		if !strings.HasSuffix(rule.name, "_regex") {
			continue
		}
		// The library treats a regular expression that does not compile as one that never matches.
		_, err := pattern.Size(rule.text)
		if errors.Is(err, pattern.ErrTooLarge) {
			return r, fmt.Errorf("%w: sops.%s: %w", ErrMalformed, rule.name, err)
		}
		if err != nil {
			return r, fmt.Errorf("%w: sops.%s is no regular expression", ErrMalformed, rule.name)
		}
	}
	switch len(given) {
	case 0:
		r.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	case 1:
	default:
		return r, fmt.Errorf("%w: only one of %s may be given", ErrMalformed, strings.Join(given, ", "))
	}
	return r, nil
}
