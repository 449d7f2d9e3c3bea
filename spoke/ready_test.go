package spoke_test

import (
	"net/http"
	"testing"
)

// TestReady: a spoke is ready when it has registered and its API server answers. A hub outage does not change that,
// also over a restart.
func TestReady(t *testing.T) {
	h, r := newHub(t), newRig(t)
	h.tokens["wrong token"] = refused
	r.join(h, "prod", "wrong token", "")
	r.start()
	r.awaitReady("not registered with the hub: ")
	r.stop()
	r.join(h, "prod", "token", "")
	r.start()
	r.offer(h, "prod", 1, "one")
	r.awaitReady("ok")
	r.refuse(func(*http.Request) int { return http.StatusServiceUnavailable })
	r.awaitReady("the API server does not answer: ")
	r.refuse(nil)
	r.awaitReady("ok")
	h.server.Stop()
	r.stop()
	r.start()
	r.awaitReady("ok")
}

// refuse has the API server refuse requests.
func (r *rig) refuse(how func(*http.Request) int) {
	r.api.mu.Lock()
	defer r.api.mu.Unlock()
	r.api.refuse = how
}
