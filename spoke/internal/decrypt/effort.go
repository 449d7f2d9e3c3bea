package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
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
	// maxMatches limits the comparisons of a file with the regular expression of its rule, times its instructions, in
	// units of instructionsOfMatch.
	maxMatches          = 1_000_000
	instructionsOfMatch = 10
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

// fits returns an error if a walk would compare very many texts with the regular expression of the rule.
func (r rule) fits(g group) error {
	if r.pattern == nil {
		return nil
	}
	m := matches{ofComments: r.ofComments, left: maxMatches / (1 + r.size/instructionsOfMatch)}
	for _, doc := range g {
		m.value(doc.tree, 0, 0)
	}
	if m.left < 0 {
		return fmt.Errorf("%w: it has too many values, deep down or below comments, for the regular expression of its rule",
			ErrMalformed)
	}
	return nil
}

// matches counts the texts that a walk compares with a regular expression: for each leaf its keys, or the comments
// before it and before what it is in.
type matches struct {
	ofComments bool
	left       int
}

func (m *matches) value(v any, keys, comments int) {
	switch v := v.(type) {
	case treeBranch:
		active := comments
		for _, item := range v {
			if _, is := item.Key.(treeComment); is {
				active++
				m.leaf(keys, active)
				continue
			}
			_, is := item.Value.(treeComment)
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
			_, is := element.(treeComment)
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
