package artifact

// Unfinished is the error of a fetch that failed after it had done something. Its artifact says what.
type Unfinished struct {
	Artifact Artifact
	Cause    error
}

// Error returns the text of the cause.
func (u *Unfinished) Error() string { return u.Cause.Error() }

// Unwrap returns the cause.
func (u *Unfinished) Unwrap() error { return u.Cause }
