package store

import (
	"fmt"
	"time"
)

// KeyStatement is one statement about signing keys. The package signer writes it, once.
type KeyStatement struct {
	Envelope  []byte    `json:"envelope"`           // see signing.OpenStatement
	RetiresAt time.Time `json:"retiresAt,omitzero"` // when the key before is retired; zero: when an operator says so
}

// KeyStatementKey returns the key of the statement of a number.
func KeyStatementKey(number uint64) string { return fmt.Sprintf("%020d", number) }

// KeyChain returns the envelopes of the statements after a number, in order.
func KeyChain(tx *Tx, after uint64) (chain [][]byte, err error) {
	at := KeyStatementKey(after)
	err = SigningKeys.Scan(tx, "", func(key string, row KeyStatement) error {
		if key > at {
			chain = append(chain, row.Envelope)
		}
		return nil
	})
	return chain, err
}
