package api

import "time"

// Answers reports whether a request to reconcile that was handled is the one that was made, or a later one that
// overtook it. Both are times in RFC 3339; what is not a time answers nothing.
func Answers(handled, requested string) bool {
	h, err := time.Parse(time.RFC3339Nano, handled)
	r, err2 := time.Parse(time.RFC3339Nano, requested)
	return err == nil && err2 == nil && !h.Before(r)
}
