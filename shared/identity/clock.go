package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/wording"
)

// ErrTime says that a certificate does not hold at the time that a clock says: it has ended, or has not begun.
var ErrTime = errors.New("the certificate does not hold now")

// CheckTime returns nil if a certificate holds at a time, and else an error with both times that wraps ErrTime.
func CheckTime(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("%w: it holds from %s to %s, and it is %s here", ErrTime, wording.Time(c.NotBefore),
			wording.Time(c.NotAfter),
			wording.Time(now))
	}
	return nil
}

// explain says about a chain that did not verify because of the time, whose clock to look at.
func explain(err error, now time.Time) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return err
	}
	if timeErr := CheckTime(invalid.Cert, now); timeErr != nil {
		return fmt.Errorf("%w: set the clock of the hub or of this machine right", timeErr)
	}
	return err
}

// checkOwn returns nil if this end's own certificate holds at a time, and else an error with the way out.
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
