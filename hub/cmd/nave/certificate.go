package main

import (
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/operatorconfig"
	"github.com/navefleet/nave/shared/wording"
)

// endsSoon is how long before the end of the operator's certificate the CLI warns; of a certificate with a short life,
// the last quarter of that.
const endsSoon = 30 * 24 * time.Hour

// certificateWarning returns a warning if the certificate of a context ends soon; else "". The error about one that has
// ended comes from the connection.
func certificateWarning(x *operatorconfig.Context, now time.Time) string {
	from, to, err := x.Validity()
	left := to.Sub(now)
	if err != nil || left <= 0 || left > min(endsSoon, to.Sub(from)/4) {
		return ""
	}
	return fmt.Sprintf("warning: the certificate of context %s ends at %s: make another with nave-hub operator-config",
		oneLine(x.Name), wording.Time(to))
}
