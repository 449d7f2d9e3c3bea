// Package health holds kstatus' words for the state of an object, and their order from healthy to failed.
package health

// Status is a kstatus word (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus).
type Status string

// The words of kstatus.
const (
	Unknown     Status = "Unknown"     // nobody has looked, or looking failed
	NotFound    Status = "NotFound"    // the object does not exist
	InProgress  Status = "InProgress"  // its controller still works on the current generation
	Failed      Status = "Failed"      // its controller gave up, or says that it is not healthy
	Terminating Status = "Terminating" // it has a deletion timestamp
	Current     Status = "Current"     // as desired: healthy
)

// Severity orders statuses from 0 (Current) to the worst (Failed). A word that is not known counts as Unknown.
func Severity(s Status) int {
	switch s {
	case Current:
		return 0
	case InProgress:
		return 1
	case Terminating:
		return 2
	case NotFound:
		return 4
	case Failed:
		return 5
	default:
		return 3
	}
}

// Worst returns the more severe of two statuses; a on a tie.
func Worst(a, b Status) Status {
	if Severity(b) > Severity(a) {
		return b
	}
	return a
}

// Parse returns the status that a word stands for, and Unknown for any other.
func Parse(word string) Status {
	switch s := Status(word); s {
	case NotFound, InProgress, Failed, Terminating, Current:
		return s
	}
	return Unknown
}
