package decrypt

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const metadataKey = "sops"

// ErrNotEncrypted says that a file has no sops metadata.
var ErrNotEncrypted = errors.New("no sops metadata: the file is not encrypted by SOPS")

// metadata is the sops block of a file, as SOPS 3 writes it in YAML.
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

// keyGroup lists the master keys that each open one part of the data key.
type keyGroup struct {
	Age []ageKey `yaml:"age"`
	PGP []pgpKey `yaml:"pgp"`
	// What this spoke cannot use is counted, for messages.
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

// readMetadata reads the block of the first document, where SOPS looks for it.
func readMetadata(docs []document) (*metadata, *rules, error) {
	if len(docs) == 0 || docs[0].metadata == nil {
		return nil, nil, ErrNotEncrypted
	}
	m := &metadata{}
	if err := docs[0].metadata.Decode(m); err != nil {
		return nil, nil, fmt.Errorf("%w: the sops block is not one", ErrMalformed)
	}
	modified, err := time.Parse(time.RFC3339, m.LastModified)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: sops.lastmodified is no RFC 3339 time", ErrMalformed)
	}
	// SOPS binds the MAC to the time as it prints it.
	m.LastModified = modified.Format(time.RFC3339)
	r, err := newRules(m)
	if err != nil {
		return nil, nil, err
	}
	return m, r, nil
}

// groups returns the key groups; keys directly below sops are one group and win.
func (m *metadata) groups() []keyGroup {
	if len(m.recipients()) > 0 || len(m.KeyGroups) == 0 {
		return []keyGroup{m.keyGroup}
	}
	return m.KeyGroups
}

// recipients names the public halves of the group's keys.
func (g keyGroup) recipients() []string {
	var names []string
	for _, k := range g.Age {
		names = append(names, "age "+printable(k.Recipient))
	}
	for _, k := range g.PGP {
		names = append(names, "OpenPGP "+printable(k.Fingerprint))
	}
	for _, foreign := range []struct {
		name string
		keys []yaml.Node
	}{{"AWS KMS", g.KMS}, {"GCP KMS", g.GCPKMS}, {"Azure Key Vault", g.AzureKV}, {"HashiCorp Vault", g.Vault}, {"Huawei KMS", g.HuaweiKM}} {
		for range foreign.keys {
			names = append(names, foreign.name+" (which this spoke cannot ask)")
		}
	}
	return names
}

// printable keeps a recipient from being anything but a short word: the metadata is not to be believed yet.
func printable(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// rules say which leaves are encrypted.
type rules struct {
	unencryptedSuffix, encryptedSuffix                                               string
	unencryptedRegex, encryptedRegex, unencryptedCommentRegex, encryptedCommentRegex *regexp.Regexp
}

func newRules(m *metadata) (*rules, error) {
	r := &rules{unencryptedSuffix: m.UnencryptedSuffix, encryptedSuffix: m.EncryptedSuffix}
	count := 0
	if m.UnencryptedSuffix != "" {
		count++
	}
	if m.EncryptedSuffix != "" {
		count++
	}
	for _, one := range []struct {
		name, text string
		to         **regexp.Regexp
	}{
		{"unencrypted_regex", m.UnencryptedRegex, &r.unencryptedRegex},
		{"encrypted_regex", m.EncryptedRegex, &r.encryptedRegex},
		{"unencrypted_comment_regex", m.UnencryptedCommentRegex, &r.unencryptedCommentRegex},
		{"encrypted_comment_regex", m.EncryptedCommentRegex, &r.encryptedCommentRegex},
	} {
		if one.text == "" {
			continue
		}
		count++
		re, err := regexp.Compile(one.text)
		if err != nil {
			return nil, fmt.Errorf("%w: sops.%s is no regular expression", ErrMalformed, one.name)
		}
		*one.to = re
	}
	if count > 1 {
		return nil, fmt.Errorf("%w: more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, unencrypted_regex, encrypted_comment_regex, unencrypted_comment_regex", ErrMalformed)
	}
	if count == 0 {
		r.unencryptedSuffix = "_unencrypted"
	}
	return r, nil
}

// encrypted reports whether the leaf at path, below the comments of stack, is encrypted. isComment: the leaf is the
// last comment of the stack itself.
func (r *rules) encrypted(path []string, stack [][]comment, isComment bool) bool {
	switch {
	case r.unencryptedSuffix != "":
		return !anyOf(path, func(k string) bool { return strings.HasSuffix(k, r.unencryptedSuffix) })
	case r.encryptedSuffix != "":
		return anyOf(path, func(k string) bool { return strings.HasSuffix(k, r.encryptedSuffix) })
	case r.unencryptedRegex != nil:
		return !anyOf(path, r.unencryptedRegex.MatchString)
	case r.encryptedRegex != nil:
		return anyOf(path, r.encryptedRegex.MatchString)
	case r.unencryptedCommentRegex != nil:
		return !matchComments(r.unencryptedCommentRegex, stack, false)
	default:
		return matchComments(r.encryptedCommentRegex, stack, isComment)
	}
}

func anyOf(path []string, match func(string) bool) bool {
	for _, key := range path {
		if match(key) {
			return true
		}
	}
	return false
}

// matchComments looks for a matching comment; with skipLast, the newest one does not count, for a comment does not
// encrypt itself.
func matchComments(re *regexp.Regexp, stack [][]comment, skipLast bool) bool {
	for i, level := range stack {
		for j, c := range level {
			if skipLast && i == len(stack)-1 && j == len(level)-1 {
				continue
			}
			if re.MatchString(string(c)) {
				return true
			}
		}
	}
	return false
}
