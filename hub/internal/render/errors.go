package render

import "errors"

// Errors of trees. ErrNotFound is also returned for files that a source ignores.
var (
	ErrNotFound = errors.New("not found")
	ErrLimit    = errors.New("over a limit of the build")
	ErrRemote   = errors.New("refers to something outside of the artifact")
	ErrEscape   = errors.New("symbolic link leaves the artifact")
	// ErrDamaged: the artifact is not what was fetched. This does not depend on what users wrote.
	ErrDamaged = errors.New("the artifact on the hub's disk is damaged and will be fetched again")
)

// Errors of objects.
var (
	ErrDuplicate  = errors.New("more than one object of this name")
	ErrIncomplete = errors.New("object without a name of its own")
	ErrLarge      = errors.New("too large for an object of Kubernetes; split it, or keep the data outside of the " +
		"cluster's objects")
	ErrSubstitution = errors.New("substitution failed")
)

// Errors of encrypted files and values.
var (
	ErrEncrypted       = errors.New("still encrypted")
	ErrSealedFormat    = errors.New("the format of the SOPS file does not fit its use")
	ErrSealedMalformed = errors.New("malformed SOPS file")
	ErrSealedLarge     = errors.New("SOPS file is too large")
	// ErrInspected: the render depends on the content of a sealed value, which the hub does not know.
	ErrInspected = errors.New("the build looks into an encrypted value, or takes it apart")
)

// Reasons are the errors that a worker process reports to its parent. If an error is several of these, the first
// counts.
var Reasons = []error{
	ErrDamaged, ErrSealedLarge, ErrSubstitution, ErrRemote, ErrNotFound, ErrSealedMalformed, ErrLimit, ErrLarge,
	ErrInspected, ErrIncomplete, ErrSealedFormat, ErrEscape, ErrEncrypted, ErrDuplicate,
}
