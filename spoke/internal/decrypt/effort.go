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
