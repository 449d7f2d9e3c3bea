package api

import "time"

// Answers reports whether the handled request to reconcile is the requested one, or a later one. Both are times in
// RFC 3339. If one of them is not a time, Answers returns false.
func Answers(handled, requested string) bool {
	h, err := time.Parse(time.RFC3339Nano, handled)
	r, err2 := time.Parse(time.RFC3339Nano, requested)
	return err == nil && err2 == nil && !h.Before(r)
}

// LaterRequest returns the later one of an operator's request to reconcile an object and the request in the object's
// annotations. If they cannot be compared, LaterRequest returns the operator's.
func LaterRequest(operators, annotation string) string {
	if operators == "" || Answers(annotation, operators) {
		return annotation
	}
	return operators
}
