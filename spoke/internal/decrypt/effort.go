package decrypt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/getsops/sops/v3"

	"github.com/navefleet/nave/shared/pattern"
)

// What a file may cost before its data keys are known, because whoever wrote the file chose how many encrypted data
// keys it has.
const (
	// maxEnc limits an encrypted data key, in bytes. SOPS encrypts for one recipient each.
	maxEnc = 16 << 10
	// maxEffort limits the attempts of one file. A unit is an age identity that is tried, some 0.1 ms.
	maxEffort = 8192
	pgpEffort = 16 // of an OpenPGP private key that is tried, and of a question to a key service
	// enoughBytes is the part of an age file that one unit of effort is for: it has room for one recipient.
	enoughBytes = 512
	// maxMatches limits the comparisons of a file with the regular expression of its rule, which the library compiles for
	// each of them, times its instructions, in units of instructionsOfMatch.
	maxMatches          = 1_000_000
	instructionsOfMatch = 10
	// maxExplained limits the walks that find out which leaf of a file does not decrypt: each reads the whole file.
	maxExplained = 4
)

var errEffort = fmt.Errorf("%w: it has more or larger encrypted data keys for the keys here than are tried",
	ErrMalformed)

// spend takes units from the effort that is left for the file.
func (k *Keys) spend(units int) error {
	if k.left -= units; k.left < 0 {
		return errEffort
	}
	return nil
}

// isFinal reports whether no other key of a file needs to be tried after an error.
func isFinal(ctx context.Context, err error) bool {
	return errors.Is(err, errEffort) || ctx.Err() != nil
}

// attemptsPGP returns how often a private key of the ring would be tried to open an armored message.
func attemptsPGP(enc string, ring openpgp.EntityList) int {
	block, err := armor.Decode(strings.NewReader(enc))
	if err != nil {
		return 0
	}
	attempts := 0
	for packets := packet.NewReader(block.Body); ; {
		p, err := packets.Next()
		if err != nil {
			return attempts
		}
		switch p := p.(type) {
		case *packet.EncryptedKey:
			if p.KeyId == 0 {
				attempts += len(ring.DecryptionKeys())
			} else {
				attempts += len(ring.KeysById(p.KeyId))
			}
		case *packet.SymmetricallyEncrypted, *packet.AEADEncrypted, *packet.Compressed, *packet.LiteralData,
			*packet.OnePassSignature:
			return attempts
		}
	}
}

// fitsRules returns an error if the library would compare very many texts with the regular expression of the rule.
func (g group) fitsRules(r sops.Metadata) error {
	comments := r.UnencryptedCommentRegex + r.EncryptedCommentRegex
	text := cmp.Or(comments, r.UnencryptedRegex, r.EncryptedRegex)
	if text == "" {
		return nil
	}
	size, err := pattern.Size(text)
	if err != nil {
		return fmt.Errorf("%w: the rule: %w", ErrMalformed, err)
	}
	m := matches{ofComments: comments != "", left: maxMatches / (1 + size/instructionsOfMatch)}
	for _, doc := range g {
		m.value(doc.tree, 0, 0)
	}
	if m.left < 0 {
		return fmt.Errorf("%w: it has too many values, deep down or below comments, for the regular expression of its rule",
			ErrMalformed)
	}
	return nil
}

// matches counts the texts that the library compares with a regular expression: for each leaf its keys, or the comments
// before it and before what it is in.
type matches struct {
	ofComments bool
	left       int
}

func (m *matches) value(v any, keys, comments int) {
	switch v := v.(type) {
	case sops.TreeBranch:
		active := comments
		for _, item := range v {
			if _, is := item.Key.(sops.Comment); is {
				active++
				m.leaf(keys, active)
				continue
			}
			_, is := item.Value.(sops.Comment)
			if is {
				active++
			}
			if m.value(item.Value, keys+1, active); !is {
				active = comments
			}
		}
	case []any:
		active := comments
		for _, element := range v {
			_, is := element.(sops.Comment)
			if is {
				active++
			}
			if m.value(element, keys, active); !is {
				active = comments
			}
		}
	default:
		m.leaf(keys, comments)
	}
}

func (m *matches) leaf(keys, comments int) {
	if m.ofComments {
		m.left -= comments
	} else {
		m.left -= keys
	}
}
