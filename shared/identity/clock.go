package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/wording"
)

// ErrTime means that a certificate has ended or has not begun, by the clock of this machine.
var ErrTime = errors.New("the certificate does not hold now")

// CheckTime returns an error that wraps ErrTime unless a certificate is valid at a time. The message has the time and
// the certificate's begin and end.
func CheckTime(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("%w: it holds from %s to %s, and it is %s here", ErrTime, wording.Time(c.NotBefore),
			wording.Time(c.NotAfter), wording.Time(now))
	}
	return nil
}

// explain returns the error of a chain that did not verify. If the cause is the time, the message names both clocks.
func explain(err error, now time.Time) error {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return err
	}
	if timeErr := CheckTime(invalid.Cert, now); timeErr != nil {
		return fmt.Errorf("%w: set the clock of the hub or of this machine right", timeErr)
	}
	return err
}

// checkOwn returns an error with the way out unless the certificate of this end is valid at a time.
func checkOwn(c *x509.Certificate, now time.Time) error {
	err := CheckTime(c, now)
	if err == nil {
		return nil
	}
	another := ""
	if id, idErr := FromCertificate(c); idErr == nil && id.Role == Operator {
		another = ", or make another with `nave-hub operator-config`"
	} else if idErr == nil && id.Role == Cluster {
		another = ", or get a new manifest with `nave cluster add " + id.Name + "`"
	}
	return fmt.Errorf("own certificate: %w: set the clock of this machine right%s", err, another)
}
