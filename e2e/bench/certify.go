package main

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/navefleet/nave/shared/identity"
)

// issue makes a key and its certificate.
func issue(authority *identity.Authority, id identity.ID) (tls.Certificate, error) {
	key, err := identity.NewKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	chain, err := authority.Issue(key.Public(), id, time.Hour, nil, nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	return identity.Pair(key, chain)
}

// trusted returns the authority as the list to trust.
func trusted(authority *identity.Authority) []*x509.Certificate {
	return []*x509.Certificate{authority.Certificate()}
}
