// Package reporting is what a spoke that reports and its hub agree on: how long the lists of an application's report
// may be. The spoke cuts its lists to these limits; the hub refuses a report with
// longer ones.
package reporting

// The most entries that the lists of a report have; all but MaxEvents are of one application.
const (
	MaxObjects   = 20   // objects that are not well
	MaxInventory = 5000 // objects that the application owns
	MaxHeld      = 100  // objects of a held prune
	MaxEvents    = 100  // events of one report
)
