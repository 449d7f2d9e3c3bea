package api

import "time"

// A request to reconcile is any text. It is made by an operator, and is then a time in RFC 3339, or by a new value of
// the annotation in Git. The last one that was made counts. An annotation may be a time as well, and a wrong one, so a
// time alone does not tell which of two requests was made first.

// Answers reports whether an object that handled a request has answered another one, which is wanted. Beside the wanted
// request, the last request of the object answers it, and so does each one between the two by its time.
func Answers(handled, wanted, last string) bool {
	if handled == "" || handled == wanted || handled == last {
		return handled != ""
	}
	h, err := time.Parse(time.RFC3339Nano, handled)
	w, err2 := time.Parse(time.RFC3339Nano, wanted)
	l, err3 := time.Parse(time.RFC3339Nano, last)
	return err == nil && err2 == nil && err3 == nil && !h.Before(w) && !h.After(l)
}
