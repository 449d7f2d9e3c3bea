package decrypt

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"

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
	Age []ageKey `yaml:"age"`
	PGP []pgpKey `yaml:"pgp"`
	// Keys that this spoke cannot use are counted for messages.
	KMS      []yaml.Node `yaml:"kms"`
	GCPKMS   []yaml.Node `yaml:"gcp_kms"`
	AzureKV  []yaml.Node `yaml:"azure_kv"`
	Vault    []yaml.Node `yaml:"hc_vault"`
	HuaweiKM []yaml.Node `yaml:"hckms"`
}

type ageKey struct {
	Recipient string `yaml:"recipient"`
	Enc       string `yaml:"enc"`
}

type pgpKey struct {
	Fingerprint string `yaml:"fp"`
	Enc         string `yaml:"enc"`
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
const maxRecipient = 80

// recipients returns the names of the group's public keys.
func (g keyGroup) recipients() []string {
	var names []string
	for _, k := range g.Age {
		names = append(names, "age "+telemetry.Line(k.Recipient, maxRecipient))
	}
	for _, k := range g.PGP {
		names = append(names, "OpenPGP "+telemetry.Line(k.Fingerprint, maxRecipient))
	}
	for _, foreign := range []struct {
		name string
		keys []yaml.Node
	}{{"AWS KMS", g.KMS}, {"GCP KMS", g.GCPKMS}, {"Azure Key Vault", g.AzureKV}, {"HashiCorp Vault",
		g.Vault}, {"Huawei KMS", g.HuaweiKM}} {
		for range foreign.keys {
			names = append(names, foreign.name+" (which this spoke cannot ask)")
		}
	}
	return names
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
		// The library treats a regular expression that does not compile as one that never matches.
		if _, err := regexp.Compile(rule.text); err != nil && strings.HasSuffix(rule.name, "_regex") {
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
