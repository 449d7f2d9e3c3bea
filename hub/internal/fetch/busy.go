package fetch

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
)

// mostApart is how far the fetches from a server that asked to wait are apart at most, so that they do not come back
// together.
const mostApart = time.Minute

// account is who asks a server: servers count the requests of each account, and of all that have none.
type account struct {
	server string // as source.ServerOf returns it
	as     string // the Secrets and the provider; empty: anonymous
}

// account returns who asks the server. Secrets that are not for the server, such as keys to verify with, do not count.
func (s server) account() account {
	as := s.view.Provider
	for _, secret := range s.secrets {
		switch secret.Field {
		case "spec.secretRef", "spec.certSecretRef", "spec.proxySecretRef":
			as += " " + secret.Field + "=" + secret.namespace + "/" + secret.Name
		}
	}
	return account{source.ServerOf(s.view.URL), as}
}

// noteBusy notes that the server of a source asks to wait. All fetches from the server with the same account wait then:
// not those of others, who may still ask. A server that a fetch asks beside the source's own, such as that of a chart's
// dependency, makes only this source wait: it has no say over another one.
func (l *Loop) noteBusy(s *scheduled, err error) {
	busy, ok := errors.AsType[*source.BusyError](err)
	if !ok {
		return
	}
	now := time.Now()
	until := now.Add(busy.Wait(now))
	if by := s.server.account(); busy.Server == by.server && until.After(l.busy[by]) {
		l.busy[by] = until
	}
	s.waitUntil(until, now)
}

// waitUntil puts off the next fetch until a time or a moment later.
func (s *scheduled) waitUntil(until, now time.Time) {
	if s.next.Before(until) {
		s.next = until.Add(jitter(min(until.Sub(now), mostApart)))
		s.fetchAt = s.next
	}
}

// postpone puts off a source whose server asked to wait, and reports whether it did. It does not if somebody waits for
// an answer: that is, at once, that the server asked to wait.
func (l *Loop) postpone(s *scheduled, now time.Time) bool {
	maps.DeleteFunc(l.busy, func(_ account, until time.Time) bool { return !until.After(now) })
	until := l.heldUntil(s)
	if until.IsZero() || s.isAwaited() {
		return false
	}
	s.waitUntil(until, now)
	return true
}

// heldUntil returns until when a source may not ask its server; zero: it may, or needs not.
func (l *Loop) heldUntil(s *scheduled) time.Time {
	until := l.busy[s.server.account()]
	if s.view.Offline || !until.After(time.Now()) {
		return time.Time{}
	}
	return until
}

// isAwaited reports whether a source was never fetched, or has a request to reconcile that is not answered.
func (s *scheduled) isAwaited() bool {
	if !s.known() {
		return true
	}
	for m := range s.active() {
		if m.requested != m.answered {
			return true
		}
	}
	return false
}

// refusedUntil returns the error of a fetch that is not begun, because its server asked to wait.
func refusedUntil(until time.Time, url string) error {
	server := source.ServerOf(url)
	text := fmt.Sprintf("server %s asked to wait until %s UTC; the hub sends it no request before",
		strings.TrimSuffix(server, ":443"), until.UTC().Format(time.TimeOnly))
	return source.Explain(&source.BusyError{Server: server, Until: until, Text: text}, url, nil)
}
