package manifest

import (
	"fmt"
)

// ParseError says where a stream of manifests could not be read.
type ParseError struct {
	Document int // counted from 1; 0: the stream as a whole
	Line     int // counted from 1 over the whole stream; 0: not known
	Err      error
}

// Error returns "document 2, line 17: …".
func (e *ParseError) Error() string {
	return fmt.Sprintf("document %d, line %d: %v", e.Document, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// Parse reads objects.
func Parse(data []byte) ([]*Object, error) { return nil, &ParseError{} }

// IsEncrypted reports whether SOPS encrypted o.
func IsEncrypted(o *Object) bool { _, ok := o.Object["sops"]; return ok }
