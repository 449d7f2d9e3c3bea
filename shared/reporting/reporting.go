// Package reporting holds the limits of reports, which a spoke and its hub agree on. The spoke cuts texts and lists to
// these limits. The hub cuts longer texts, and refuses a report with longer lists.
package reporting

// The most entries that the lists of a report have; all but MaxEvents are of one application.
const (
	MaxObjects   = 20   // objects that are unhealthy
	MaxInventory = 5000 // objects that the application owns
	MaxHeld      = 100  // objects of a held prune
	MaxEvents    = 100  // events of one report
)

// The longest texts of a report, in bytes. A longer text is cut by telemetry.Printable.
const (
	MaxMessage = 2 << 10 // a message, and the reason why a bundle was rejected
	MaxName    = 512     // the name of an object with its kind and namespace
	MaxWord    = 256     // a revision, a request, the reason of a condition
)
